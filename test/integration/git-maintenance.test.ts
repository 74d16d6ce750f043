import assert from "node:assert/strict";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { maintain } from "../../daemon/git/maintenance.ts";
import { ObjectReader } from "../../daemon/git/objects.ts";
import { packLoose } from "../../daemon/git/pack-loose.ts";
import { openRepository } from "../../daemon/git/repository.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";

const most = { loose: 0, packs: 2 };

const packers = {
  "with the git program": (gitdir: string, signal: AbortSignal) => maintain(gitdir, signal, most),
  "without it": packLoose,
};

async function start(t: TestContext) {
  const folder = await temporaryFolder(t);
  const repository = await openRepository(folder);
  t.after(() => repository[Symbol.asyncDispose]());
  const gitdir = join(folder, ".git");
  const pack = () => maintain(gitdir, AbortSignal.timeout(20_000), most);
  const write = (number: number) =>
    repository.commit({
      message: `commit ${number}`,
      files: { [`components/${number % 20}.yaml`]: `n: ${number}\n${"x".repeat(2_000)}\n` },
    });
  const packs = async () => (await readdir(join(gitdir, "objects/pack"))).filter((name) => name.endsWith(".pack"));
  return { folder, repository, git: gitIn(folder), pack, write, packs };
}

for (const [way, packer] of Object.entries(packers)) {
  test(`writes and reads go on while objects are packed ${way}, and all of them are there afterwards`, async (t) => {
    const { folder, repository, git, write, packs } = await start(t);
    const pack = () => packer(join(folder, ".git"), AbortSignal.timeout(60_000));
    let slowest = 0;
    let packing = true;
    const packed = (async () => {
      for (let round = 0; round < 5; round++) await pack();
      packing = false;
    })();
    let count = 0;
    for (; packing || count < 100; count++) {
      const began = performance.now();
      await write(count);
      slowest = Math.max(slowest, performance.now() - began);
      assert.match((await repository.read(`components/${count % 20}.yaml`))?.content ?? "", new RegExp(`^n: ${count}\n`));
    }
    await packed;
    await pack();
    t.diagnostic(`the slowest of ${count} writes took ${slowest.toFixed(0)} ms`);
    assert.ok(slowest < 1_000, `a write took ${slowest} ms`);
    assert.equal(await git("fsck", "--strict", "--no-dangling"), "");
    assert.equal(await git("rev-list", "--count", "HEAD"), String(count));
    assert.equal(await git("count-objects"), "0 objects, 0 kilobytes");
    assert.ok((await packs()).length > 0);
    const { read, problems } = await repository.check();
    assert.deepEqual([problems, read], [[], (await git("rev-list", "--objects", "HEAD")).split("\n").length]);
    await using reader = await openRepository(await cloneOf(folder, t));
    const seen: string[] = [];
    for await (const { message } of reader.log()) seen.push(message.trim());
    assert.deepEqual(
      seen,
      Array.from({ length: count }, (_, number) => `commit ${count - 1 - number}`),
    );
  });
}

async function cloneOf(folder: string, t: TestContext): Promise<string> {
  const target = await temporaryFolder(t);
  await gitIn(target)("clone", "-q", folder, target);
  return target;
}

test("what nothing refers to stays, whether it is packed or not", async (t) => {
  const { git, pack, write, packs } = await start(t);
  const lost: string[] = [];
  for (let round = 0; round < 4; round++) {
    await write(round);
    const commit = (await write(round + 100)).commit;
    lost.push(commit);
    await git("reset", "-q", "--hard", "HEAD~1");
    await git("reflog", "expire", "--expire=now", "--all");
    await pack();
  }
  assert.ok((await packs()).length <= 2);
  for (const commit of lost) assert.equal(await git("cat-file", "-t", commit), "commit");
  assert.equal(await git("fsck", "--strict", "--no-dangling", "--unreachable").then((text) => text.includes("missing")), false);
});

test("a reader that knew the packs of before finds what was moved into one", async (t) => {
  const { folder, pack, write, packs } = await start(t);
  const objects = new ObjectReader(join(folder, ".git"));
  const commits: string[] = [];
  for (let round = 0; round < 6; round++) {
    const first = (await write(round)).commit;
    commits.push((await write(round + 10)).commit);
    await pack();
    assert.equal((await objects.commit(first)).message, `commit ${round}\n`);
  }
  assert.ok((await packs()).length <= 2);
  for (const [round, commit] of commits.entries()) assert.equal((await objects.commit(commit)).message, `commit ${round + 10}\n`);
});

for (const way of ["with the git program", "without it"]) {
  test(`a check ${way} names each object that is missing or damaged`, async (t) => {
    const { folder, repository, git, write } = await start(t);
    for (let number = 0; number < 3; number++) await write(number);
    const whole = await repository.check();
    assert.deepEqual(whole, { read: (await git("rev-list", "--objects", "HEAD")).split("\n").length, problems: [] });
    const damage = async (name: string, content?: string) => {
      const oid = await git("rev-parse", name);
      const path = join(folder, ".git/objects", oid.slice(0, 2), oid.slice(2));
      await rm(path, { force: true });
      if (content !== undefined) await writeFile(path, content);
      return oid;
    };
    const damaged = [await damage("HEAD:components/0.yaml", ""), await damage("HEAD:components/1.yaml")];
    // Where a commit is damaged the git program is no help.
    if (way === "without it") damaged.push(await damage("HEAD~2"));
    const { problems } = await repository.check();
    assert.deepEqual(problems.map((problem) => problem.split(" ")[1]).sort(), damaged.sort());
  });
}
