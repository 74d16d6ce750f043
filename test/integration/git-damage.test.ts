import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openRepository } from "../../daemon/git/repository.ts";
import { seedRepository } from "../../daemon/git/seed.ts";
import { runChild } from "../harness/child.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";

const path = "orchestrations/a.yaml";
const kept = "orchestrations/kept.yaml";

/** A repository of two commits, closed; the second changed only `path`. */
async function prepare(t: TestContext) {
  const folder = await temporaryFolder(t);
  await using repository = await openRepository(folder);
  await repository.commit({ message: "first", files: { [path]: "a: 1\n", [kept]: "kept\n" } });
  await repository.commit({ message: "second", files: { [path]: "a: 2\n" } });
  return { folder, gitdir: join(folder, ".git"), git: gitIn(folder) };
}

const objectFile = (gitdir: string, oid: string) => join(gitdir, "objects", oid.slice(0, 2), oid.slice(2));

/** Writes are refused with a reason that fits, reads go on; after the mend writes go on too. */
async function assertNamed(folder: string, reason: RegExp, mend: () => Promise<unknown>): Promise<void> {
  await using repository = await openRepository(folder);
  assert.match(repository.problem ?? "", reason);
  const write = () => repository.commit({ message: "third", files: { [path]: "a: 3\n" } });
  await assert.rejects(write(), (error: { code: string; details: { reason: string } }) => {
    assert.equal(error.code, "REPOSITORY_UNAVAILABLE");
    assert.match(error.details.reason, reason);
    return true;
  });
  assert.equal((await repository.read(kept))?.content, "kept\n");
  await mend();
  await write();
  assert.equal(repository.problem, undefined);
  const git = gitIn(folder);
  assert.equal(await git("log", "--format=%s"), "third\nsecond\nfirst");
  assert.equal(await git("fsck", "--strict", "--no-dangling"), "");
  assert.equal(await git("status", "--porcelain"), "");
}

test("a torn branch is named, read from the reflog, and never becomes a new root", async (t) => {
  const { folder, gitdir, git } = await prepare(t);
  const tip = await git("rev-parse", "HEAD");
  await truncate(join(gitdir, "refs/heads/main"));
  await assertNamed(folder, /refs\/heads\/main is torn/, () => writeFile(join(gitdir, "refs/heads/main"), `${tip}\n`));
});

test("a damaged repository is not seeded, and does not keep the daemon from starting", async (t) => {
  const { folder, gitdir } = await prepare(t);
  const shipped = await temporaryFolder(t);
  await writeFile(join(shipped, "p.yaml"), "p\n");
  await truncate(join(gitdir, "refs/heads/main"));
  await using repository = await openRepository(folder);
  assert.equal(await seedRepository(repository, { compositions: shipped, agents: shipped }), undefined);
});

test("a torn HEAD is named", async (t) => {
  const { folder, gitdir } = await prepare(t);
  await writeFile(join(gitdir, "HEAD"), "");
  await assertNamed(folder, /HEAD is torn/, () => writeFile(join(gitdir, "HEAD"), "ref: refs/heads/main\n"));
});

test("an empty object and a missing one are named", async (t) => {
  for (const [revision, damage] of [
    [`HEAD:${path}`, "empty"],
    [`HEAD:${path}`, "missing"],
    ["HEAD", "empty"],
  ] as const) {
    const { folder, gitdir, git } = await prepare(t);
    const oid = await git("rev-parse", revision);
    const file = objectFile(gitdir, oid);
    const sound = join(await temporaryFolder(t), "sound");
    await copyFile(file, sound);
    const mend = () => copyFile(sound, file);
    await (damage === "empty" ? truncate(file) : rm(file));
    await assertNamed(folder, new RegExp(`${oid}.*(missing|damaged)`), mend);
  }
});

test("a damaged index is named", async (t) => {
  const { folder, gitdir, git } = await prepare(t);
  await writeFile(join(gitdir, "index"), "DIRC torn");
  await using repository = await openRepository(folder);
  const write = () => repository.commit({ message: "third", files: { [path]: "a: 3\n" } });
  await assert.rejects(write(), { code: "REPOSITORY_UNAVAILABLE", message: /index is damaged/ });
  await rm(join(gitdir, "index"));
  await git("reset", "-q");
  await write();
  assert.equal(await git("status", "--porcelain"), "");
});

test("a lock of another git process is waited for, then named, and left alone", async (t) => {
  const { folder, gitdir } = await prepare(t);
  await writeFile(join(gitdir, "index.lock"), "");
  await using repository = await openRepository(folder);
  const write = () => repository.commit({ message: "third", files: { [path]: "a: 3\n" } });
  await assert.rejects(write(), { code: "REPOSITORY_UNAVAILABLE", message: /index\.lock is held by another git process/ });
  await rm(join(gitdir, "index.lock"));
  await write();
});

test("a bare repository and a linked work tree are named", async (t) => {
  const { folder, git } = await prepare(t);
  await git("config", "core.bare", "true");
  await assertNamed(folder, /is bare/, () => git("config", "core.bare", "false"));
  const linked = join(await temporaryFolder(t), "linked");
  await git("worktree", "add", "-q", linked, "-b", "other");
  await using repository = await openRepository(linked);
  assert.match(repository.problem ?? "", /not a folder/);
});

test("a folder that cannot be written to is read, and writes are refused with the reason", async (t) => {
  const { folder } = await prepare(t);
  const source = `
    const { openRepository } = await project("daemon/git/repository.ts");
    const repository = await openRepository(${JSON.stringify(folder)});
    console.log("read " + (await repository.read(${JSON.stringify(kept)})).content.trim());
    await repository.commit({ message: "x", files: { ${JSON.stringify(path)}: "b" } }).catch((error) => console.log(error.code + " " + error.details.reason));`;
  await chmod(folder, 0o755);
  // Root may write anywhere, so the reader is somebody else.
  if (process.getuid?.() !== 0) await chmod(join(folder, ".git"), 0o555);
  const child = runChild(source, process.getuid?.() === 0 ? { user: 65_534 } : {});
  await child.ended;
  await chmod(join(folder, ".git"), 0o755);
  assert.equal(child.lines[0], "read kept", child.errors());
  assert.match(child.lines[1] ?? "", /^REPOSITORY_UNAVAILABLE the folder cannot be written to: EACCES/);
});

test("what a crash leaves of a commit is completed at the next start, whichever step it came after", async (t) => {
  for (const step of ["objects", "branch", "file"] as const) {
    const { folder, gitdir, git } = await prepare(t);
    const before = await git("rev-parse", `HEAD:${path}`);
    // A commit as we make it, stopped half-way: only its objects, also the branch, also the file.
    await writeFile(join(folder, "next"), "a: 3\n");
    const blob = await git("hash-object", "-w", "next");
    await rm(join(folder, "next"));
    await git("update-index", "--cacheinfo", `100644,${blob},${path}`);
    const commit = await git("commit-tree", await git("write-tree"), "-p", "HEAD", "-m", "third");
    await git("update-index", "--cacheinfo", `100644,${before},${path}`);
    await git("update-index", "-q", "--refresh");
    const intent = { program: "reprise", ref: "refs/heads/main", commit, changes: [{ path, from: before, to: blob }] };
    if (step === "objects") await writeFile(join(gitdir, "refs/heads/main.lock"), `${commit}\n`);
    else await git("update-ref", "refs/heads/main", commit);
    if (step === "file") await writeFile(join(folder, path), "a: 3\n");
    await writeFile(join(gitdir, "index.lock"), JSON.stringify(intent));
    await mkdir(join(gitdir, "reprise/temporary"), { recursive: true });
    await writeFile(join(gitdir, "reprise/temporary/left-over"), "x");

    await using repository = await openRepository(folder);
    assert.equal(repository.problem, undefined);
    assert.equal((await repository.read(path))?.content, step === "objects" ? "a: 2\n" : "a: 3\n");
    assert.equal(await git("status", "--porcelain"), "", step);
    assert.deepEqual(await readdir(join(gitdir, "reprise/temporary")), []);
    await repository.commit({ message: "fourth", files: { [path]: "a: 4\n" } });
    assert.equal(await git("status", "--porcelain"), "", step);
  }
});

test("an edit made by hand after the crash is kept", async (t) => {
  const { folder, gitdir, git } = await prepare(t);
  const [from, to, commit] = [
    await git("rev-parse", `HEAD~:${path}`),
    await git("rev-parse", `HEAD:${path}`),
    await git("rev-parse", "HEAD"),
  ];
  await writeFile(join(folder, path), "a: edited after the crash\n");
  await git("update-index", "--cacheinfo", `100644,${from},${path}`);
  await writeFile(
    join(gitdir, "index.lock"),
    JSON.stringify({ program: "reprise", ref: "refs/heads/main", commit, changes: [{ path, from, to }] }),
  );
  await using repository = await openRepository(folder);
  await assert.rejects(repository.commit({ message: "x", files: { [path]: "b\n" } }), {
    code: "REPOSITORY_CONFLICT",
    details: { file: path },
  });
});
