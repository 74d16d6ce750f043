import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { openRepository } from "../../daemon/git/repository.ts";
import { runChild } from "../harness/child.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";
import { rounds } from "../harness/rounds.ts";

interface Work {
  readonly kills: number;
  /** Beside the commits: does it again and again. */
  readonly beside: string;
  /** Milliseconds after some commits at which the kill comes, at most. */
  readonly latest: number;
}

const works: Record<string, Work> = {
  committing: { kills: rounds(15, 100), beside: "", latest: 15 },
  "committing and packing with the git program": {
    kills: rounds(5, 50),
    beside:
      'const { maintain } = await project("daemon/git/maintenance.ts"); const pack = (...place) => maintain(...place, { loose: 0, packs: 2 });',
    latest: 200,
  },
  "committing and packing without the git program": {
    kills: rounds(5, 50),
    beside: 'const { packLoose: pack } = await project("daemon/git/pack-loose.ts");',
    latest: 200,
  },
};

for (const [doing, work] of Object.entries(works)) {
  test(
    `${work.kills} × kill -9 while ${doing}: every acknowledged commit is reachable, nothing is torn`,
    {
      timeout: work.kills * 10_000,
    },
    (t) => killWhile(t, work),
  );
}

async function killWhile(t: TestContext, { kills, beside, latest }: Work): Promise<void> {
  const folder = await temporaryFolder(t);
  const git = gitIn(folder);
  const again = beside && "(async () => { for (;;) await pack(repository.folder + '/.git', new AbortController().signal); })();";
  const source = `
    const { openRepository } = await project("daemon/git/repository.ts");
    const repository = await openRepository(${JSON.stringify(folder)});
    console.log("problem " + repository.problem);
    ${beside}
    ${again}
    for (let count = 0; ; count++) {
      const files = { ["orchestrations/p" + (count % 5) + ".yaml"]: Math.random() + "\\n", ["components/c" + (count % 3) + ".yaml"]: Math.random() + "\\n" };
      const { commit } = await repository.commit({ message: "n " + count, files });
      console.log(commit);
    }`;
  const acknowledged: string[] = [];
  for (let round = 0; round < kills; round++) {
    const child = runChild(source);
    t.after(() => child.process.kill("SIGKILL"));
    // Some commits, then a kill at a place in the next one that differs from round to round.
    const wanted = 2 + (round % 4);
    await child.line(() => child.lines.length > wanted);
    await pause(Math.random() * latest);
    child.process.kill("SIGKILL");
    await child.ended;
    assert.equal(child.lines[0], "problem undefined");
    acknowledged.push(...child.lines.slice(1));
  }
  await using repository = await openRepository(folder);
  assert.equal(repository.problem, undefined);
  const reachable = new Set((await git("rev-list", "HEAD")).split("\n"));
  assert.deepEqual(
    acknowledged.filter((commit) => !reachable.has(commit)),
    [],
  );
  assert.ok(acknowledged.length >= kills * 2);
  assert.equal(await git("rev-list", "--max-parents=0", "--count", "HEAD"), "1");
  assert.equal(await git("fsck", "--strict", "--no-dangling"), "");
  assert.equal(await git("status", "--porcelain"), "");
  assert.deepEqual((await repository.check()).problems, []);
  t.diagnostic(`${acknowledged.length} acknowledged commits, ${reachable.size} in git`);
}
