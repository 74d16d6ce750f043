import assert from "node:assert/strict";
import { test } from "node:test";
import { openRepository } from "../../daemon/git/repository.ts";
import { runChild } from "../harness/child.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";

const kills = process.env.REPRISE_SOAK ? 100 : 15;

test(`${kills} × kill -9 while committing: every acknowledged commit is reachable, nothing is torn`, {
  timeout: kills * 10_000,
}, async (t) => {
  const folder = await temporaryFolder(t);
  const git = gitIn(folder);
  const source = `
    const { openRepository } = await project("daemon/git/repository.ts");
    const repository = await openRepository(${JSON.stringify(folder)});
    console.log("problem " + repository.problem);
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
    const spin = performance.now() + Math.random() * 15;
    while (performance.now() < spin);
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
  t.diagnostic(`${acknowledged.length} acknowledged commits, ${reachable.size} in git`);
});
