import assert from "node:assert/strict";
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { openRepository } from "../../daemon/git/repository.ts";
import { seedRepository } from "../../daemon/git/seed.ts";
import type { CommitInfo } from "../../daemon/module.ts";
import { OwnedElsewhereError } from "../../daemon/owner-lock.ts";
import { runChild } from "../harness/child.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";
import { until } from "../harness/until.ts";

const path = "orchestrations/a.yaml";

async function openTemporary(t: TestContext) {
  const folder = await temporaryFolder(t);
  const repository = await openRepository(folder);
  t.after(() => repository[Symbol.asyncDispose]());
  return { folder, repository, git: gitIn(folder) };
}

const assertSound = async (git: ReturnType<typeof gitIn>) => {
  assert.equal(await git("fsck", "--strict", "--no-dangling"), "");
  assert.equal(await git("status", "--porcelain"), "");
  assert.equal(await git("diff-files"), "");
};

async function collect(log: AsyncIterable<CommitInfo>): Promise<string[]> {
  const messages: string[] = [];
  for await (const { message } of log) messages.push(message.trim());
  return messages;
}

test("a new folder becomes an ordinary repository that plain git reads and writes", async (t) => {
  const { repository, git } = await openTemporary(t);
  assert.equal(await repository.head(), undefined);
  const first = await repository.commit({ message: "first", files: { [path]: "a: 1\n" } });
  const author = { name: "Änn <x>\n", email: "ann@localhost" };
  await repository.commit({ message: "second\n\nFoo: bar", author, files: { [path]: "a: 2\n", "profiles/p.yaml": "p\n" } });
  assert.equal(await git("log", "--format=%an <%ae> %s"), "Änn x <ann@localhost> second\nreprise <reprise@localhost> first");
  assert.equal(await git("log", "-1", "--format=%(trailers:key=Foo,valueonly)"), "bar\n".trim());
  assert.equal(await git("symbolic-ref", "HEAD"), "refs/heads/main");
  assert.match(await git("blame", path), /a: 2/);
  assert.equal((await git("reflog", "--format=%s")).split("\n").length, 2);
  await assertSound(git);

  assert.deepEqual((await repository.read(path))?.content, "a: 2\n");
  assert.deepEqual((await repository.read(path, first.commit))?.content, "a: 1\n");
  assert.equal(await repository.read("orchestrations/none.yaml"), undefined);
  assert.equal(await repository.read(path, "0".repeat(40)), undefined);
  assert.deepEqual(await repository.list("profiles"), ["profiles/p.yaml"]);
  assert.deepEqual(await repository.list("profiles", first.commit), []);
});

test("an edit of the same size, in the second of our commit, is seen by git also after later commits", async (t) => {
  const { folder, repository, git } = await openTemporary(t);
  const file = join(folder, path);
  const second = async () => Math.floor((await stat(file)).mtimeMs / 1000);
  for (let round = 0; ; round++) {
    await repository.commit({ message: "ours", files: { [path]: `a: ${round % 10}\n` } });
    const written = await second();
    await writeFile(file, "a: x\n");
    if ((await second()) === written) break; // else the clock went on in between
  }
  const edited = await second();
  await until(() => Math.floor(Date.now() / 1000) > edited, "the next second");
  await repository.commit({ message: "another file", files: { "profiles/p.yaml": "p\n" } });
  assert.equal(await git("status", "--porcelain"), ` M ${path}`.trimEnd());
  await assert.rejects(repository.commit({ message: "over it", files: { [path]: "a: y\n" } }), { code: "REPOSITORY_CONFLICT" });
});

test("commits by hand are seen, also from packs, and are built upon", async (t) => {
  const { folder, repository, git } = await openTemporary(t);
  await repository.commit({ message: "ours", files: { [path]: "a: 1\n" } });
  await writeFile(join(folder, path), "a: by hand\n");
  await writeFile(join(folder, "README.md"), "mine\n");
  await git("add", "-A");
  await git("commit", "-m", "by hand");
  await git("gc");
  await git("pack-refs", "--all");
  assert.equal((await repository.read(path))?.content, "a: by hand\n");
  await repository.commit({ message: "ours again", files: { "components/c.yaml": "c\n" } });
  assert.deepEqual(await collect(repository.log()), ["ours again", "by hand", "ours"]);
  assert.equal(await readFile(join(folder, "README.md"), "utf8"), "mine\n");
  await assertSound(git);
});

test("the log of a path has the commits that changed it, newest first, also across a merge", async (t) => {
  const { folder, repository, git } = await openTemporary(t);
  for (const number of [1, 2, 3]) await repository.commit({ message: `a ${number}`, files: { [path]: `a: ${number}\n` } });
  await git("switch", "-c", "side");
  await repository.commit({ message: "side", files: { "components/c.yaml": "side\n" } });
  await git("switch", "main");
  await repository.commit({ message: "a 4", files: { [path]: "a: 4\n" } });
  await git("merge", "--no-edit", "side");
  await repository.commit({ message: "removed", files: { [path]: null } });
  assert.deepEqual(await collect(repository.log({ path })), ["removed", "a 4", "a 3", "a 2", "a 1"]);
  assert.deepEqual(await collect(repository.log({ path, limit: 2 })), ["removed", "a 4"]);
  assert.deepEqual(await collect(repository.log({ path: "components/c.yaml" })), ["side"]);
  await assert.rejects(readFile(join(folder, path)), { code: "ENOENT" });
  await assertSound(git);
});

test("an uncommitted edit, staged or not, is never overwritten and is named", async (t) => {
  const { folder, repository, git } = await openTemporary(t);
  await repository.commit({ message: "first", files: { [path]: "a: 1\n", "profiles/p.yaml": "p\n" } });
  const conflict = { code: "REPOSITORY_CONFLICT", details: { file: path } };
  const write = () => repository.commit({ message: "second", files: { [path]: "a: 2\n" } });

  await writeFile(join(folder, path), "a: edited\n");
  await assert.rejects(write(), conflict);
  await git("add", path);
  await assert.rejects(write(), conflict);
  await writeFile(join(folder, path), "a: 1\n");
  await assert.rejects(write(), conflict);
  assert.equal(await git("show", `:${path}`), "a: edited");
  await repository.commit({ message: "another file", files: { "profiles/p.yaml": "p2\n" } });
  await git("reset", "-q", "--hard");

  await rm(join(folder, path));
  await assert.rejects(write(), conflict);
  await git("checkout", path);
  await writeFile(join(folder, "components.yaml"), "");
  await mkdir(join(folder, "components"));
  await writeFile(join(folder, "components/new.yaml"), "untracked\n");
  await assert.rejects(repository.commit({ message: "new", files: { "components/new.yaml": "c\n" } }), { code: "REPOSITORY_CONFLICT" });
  await write();
  assert.equal(await git("status", "--porcelain"), "?? components.yaml\n?? components/");
});

test("a symbolic link in the work tree is not followed", async (t) => {
  const { folder, repository } = await openTemporary(t);
  const outside = await temporaryFolder(t);
  await symlink(outside, join(folder, "orchestrations"));
  await assert.rejects(repository.commit({ message: "x", files: { [path]: "a\n" } }), { code: "REPOSITORY_CONFLICT" });
  await assert.rejects(readFile(join(outside, "a.yaml")), { code: "ENOENT" });
});

test("a change based on another content than the present one is stale", async (t) => {
  const { repository } = await openTemporary(t);
  await repository.commit({ message: "1", files: { [path]: "a: 1\n" }, expected: { [path]: null } });
  const { blob } = (await repository.read(path)) ?? assert.fail();
  await repository.commit({ message: "2", files: { [path]: "a: 2\n" }, expected: { [path]: blob } });
  await assert.rejects(repository.commit({ message: "3", files: { [path]: "a: 3\n" }, expected: { [path]: blob } }), {
    code: "COMPOSITION_STALE",
  });
  await assert.rejects(repository.commit({ message: "4", files: { [path]: "a: 4\n" }, expected: { [path]: null } }), {
    code: "COMPOSITION_STALE",
  });
  assert.equal((await repository.read(path))?.content, "a: 2\n");
});

test("200 concurrent commits all arrive, in one line of history", async (t) => {
  const { repository, git } = await openTemporary(t);
  const commits = Array.from({ length: 200 }, (_, number) =>
    repository.commit({ message: `n ${number}`, files: { [`components/c${number % 7}.yaml`]: `${number}\n` } }),
  );
  const infos = await Promise.all(commits);
  assert.deepEqual(
    (await git("rev-list", "--reverse", "HEAD")).split("\n"),
    infos.map(({ commit }) => commit),
  );
  await assertSound(git);
});

test("commits by hand at the same time as ours: neither loses a change", { timeout: 60_000 }, async (t) => {
  const { folder, repository, git } = await openTemporary(t);
  await repository.commit({ message: "start", files: { [path]: "0\n" } });
  let isDone = false;
  const ours = (async () => {
    let count = 0;
    while (!isDone) await repository.commit({ message: "ours", files: { [`components/c${count % 5}.yaml`]: `${count++}\n` } });
    return count;
  })();
  const rounds = 15;
  for (let round = 1; round <= rounds; round++) {
    await writeFile(join(folder, path), `by hand ${round}\n`);
    // Git refuses when we hold the lock or move the branch at that moment; a person tries again.
    while (
      !(await git("commit", "-q", "-m", `hand ${round}`, "--", path).then(
        () => true,
        () => false,
      ))
    );
  }
  isDone = true;
  const count = await ours;
  const subjects = (await git("log", "--format=%s")).split("\n");
  assert.equal(subjects.filter((subject) => subject === "ours").length, count);
  assert.equal(subjects.filter((subject) => subject.startsWith("hand")).length, rounds);
  assert.equal(await git("show", `HEAD:${path}`), `by hand ${rounds}`);
  await assertSound(git);
});

test("what git loses from its index, since it read it before a commit of ours and wrote it after, is staged again", async (t) => {
  const { folder, repository, git } = await openTemporary(t);
  const [index, lock] = ["index", "index.lock"].map((name) => join(folder, ".git", name)) as [string, string];
  const save = (number: number) => repository.commit({ message: `${number}`, files: { [path]: `a: ${number}\n` } });
  await save(1);
  const first = await readFile(index);
  await save(2);
  await save(3);
  await writeFile(index, first);
  await save(4); // at once, before anybody looked
  await assertSound(git);

  const fourth = await readFile(index);
  await save(5);
  await pause(200);
  await save(6);
  await pause(100);
  await writeFile(index, fourth); // long after the first of the two, and soon after the second
  await until(async () => (await git("status", "--porcelain")) === "", "the index");

  const sixth = await readFile(index);
  await save(7);
  await writeFile(lock, sixth); // as while an editor asks for the message
  await pause(600);
  assert.equal(await readFile(lock, "utf8"), sixth.toString(), "git's lock is left alone");
  await rename(lock, index);
  await until(async () => (await git("status", "--porcelain")) === "", "the index");

  const seventh = await readFile(index);
  await save(8);
  await writeFile(index, seventh);
  await repository[Symbol.asyncDispose]();
  await assertSound(git);
});

test("the former text that is put back and staged at once after a commit of ours stays so, as git revert leaves it for a moment", async (t) => {
  const { folder, repository, git } = await openTemporary(t);
  for (const number of [1, 2]) await repository.commit({ message: `${number}`, files: { [path]: `a: ${number}\n` } });
  await writeFile(join(folder, path), "a: 1\n");
  await git("add", path);
  await pause(400);
  assert.equal(await git("status", "--porcelain"), `M  ${path}`);
  await git("commit", "-qm", "back");
  await repository.commit({ message: "3", files: { [path]: "a: 3\n" } });
  await assertSound(git);
});

test("what somebody stages is left alone, once a commit of ours is a moment old", async (t) => {
  const { repository, git } = await openTemporary(t);
  for (const number of [1, 2]) await repository.commit({ message: `${number}`, files: { [path]: `a: ${number}\n` } });
  await pause(400);
  await git("reset", "-q", "HEAD~1", "--", path);
  await pause(400);
  assert.match(await git("status", "--porcelain"), /^MM/);
  await assert.rejects(repository.commit({ message: "3", files: { [path]: "a: 3\n" } }), { code: "REPOSITORY_CONFLICT" });
});

test("a second process is refused, in words that name the first", async (t) => {
  const { folder } = await openTemporary(t);
  await assert.rejects(openRepository(folder), OwnedElsewhereError);
  const child = runChild(`
    const { openRepository } = await project("daemon/git/repository.ts");
    await openRepository(${JSON.stringify(folder)}).catch((error) => console.log(error.message));`);
  assert.match(await child.line(() => true), new RegExp(`is owned by process ${process.pid} on`));
  await child.ended;
});

test("an existing repository of the user's is used as it is, on the branch that is checked out", async (t) => {
  const folder = await temporaryFolder(t);
  const git = gitIn(folder);
  await git("init", "-q", "-b", "trunk");
  await writeFile(join(folder, "note.txt"), "mine\n");
  await git("add", "-A");
  await git("commit", "-q", "-m", "mine");
  const config = await readFile(join(folder, ".git/config"), "utf8");
  await using repository = await openRepository(folder);
  await repository.commit({ message: "ours", files: { [path]: "a\n" } });
  assert.equal(await git("log", "--format=%s", "trunk"), "ours\nmine");
  assert.equal(await readFile(join(folder, ".git/config"), "utf8"), config);
  await git("checkout", "-q", "--detach");
  await assert.rejects(repository.commit({ message: "x", files: { [path]: "b\n" } }), { code: "REPOSITORY_UNAVAILABLE" });
  await git("checkout", "-q", "trunk");
  await repository.commit({ message: "again", files: { [path]: "b\n" } });
  await assertSound(git);
});

test("shipped files are seeded once, new ones later; what the user has, changed or deleted stays so", async (t) => {
  const shipped = await temporaryFolder(t);
  const folders = { compositions: join(shipped, "compositions"), agents: join(shipped, "agents") };
  for (const folder of ["compositions/orchestrations", "compositions/components", "agents"])
    await mkdir(join(shipped, folder), { recursive: true });
  for (const file of [
    "compositions/orchestrations/a.yaml",
    "compositions/orchestrations/b.yaml",
    "compositions/components/c.yaml",
    "agents/p.yaml",
  ]) {
    await writeFile(join(shipped, file), `shipped ${file}\n`);
  }
  const { folder, repository, git } = await openTemporary(t);
  await mkdir(join(folder, "profiles"));
  await writeFile(join(folder, "profiles/p.yaml"), "mine, not committed yet\n");
  await seedRepository(repository, folders);
  assert.equal(await git("ls-tree", "-r", "--name-only", "HEAD"), "components/c.yaml\norchestrations/a.yaml\norchestrations/b.yaml");
  assert.equal(await seedRepository(repository, folders), undefined);

  await repository.commit({ message: "mine", files: { "orchestrations/a.yaml": "changed\n", "orchestrations/b.yaml": null } });
  await writeFile(join(shipped, "compositions/components/d.yaml"), "new\n");
  await seedRepository(repository, folders);
  assert.equal(await git("ls-tree", "-r", "--name-only", "HEAD"), "components/c.yaml\ncomponents/d.yaml\norchestrations/a.yaml");
  assert.equal(await git("show", "HEAD:orchestrations/a.yaml"), "changed");
  assert.equal(await git("status", "--porcelain"), "?? profiles/");
});
