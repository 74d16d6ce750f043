/** People commit with plain git while the daemon writes: nothing of either is lost, and no edit is overwritten. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { askerOn } from "../harness/ask.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { fsck, gitIn } from "../harness/git.ts";
import { countIn, countingPattern, increment, startWorkers } from "../harness/pattern-clients.ts";
import { rounds } from "../harness/rounds.ts";
import { until } from "../harness/until.ts";

const name = "by-hand";
const path = `orchestrations/${name}.yaml`;

async function prepare(t: TestContext) {
  const daemon = await startTestDaemon();
  t.after(() => daemon[Symbol.asyncDispose]());
  await daemon.ask("composition:create", { type: "orchestration", name, content: countingPattern(name, 0) });
  const folder = daemon.config.compositions;
  return { ...daemon, ...askerOn(daemon.client), folder, file: join(folder, path), git: gitIn(folder) };
}

const read = ({ ask }: Pick<TestDaemon, "ask">): Promise<{ content: string; commit: string }> => ask("composition:get", { name });

test("a commit by hand between read and save: of the same file the save is refused and names it, of another it is built upon", async (t) => {
  const { ask, errorOf, git, file, folder } = await prepare(t);
  const { commit: before } = await read({ ask });
  await writeFile(file, countingPattern(name, 10));
  await git("commit", "-qam", "by hand");
  const error = await errorOf("composition:save", { name, content: countingPattern(name, 1), based_on: before });
  assert.deepEqual([error.code, error.details.path], ["COMPOSITION_STALE", path]);

  const { content, commit } = await read({ ask });
  assert.equal(countIn(content), 10);
  await writeFile(join(folder, "NOTES.md"), "mine\n");
  await git("add", "NOTES.md");
  await git("commit", "-qm", "notes");
  await ask("composition:save", { name, content: countingPattern(name, 11), based_on: commit });
  assert.equal(await git("show", "HEAD:NOTES.md"), "mine");
  assert.deepEqual((await git("log", "-3", "--format=%an")).split("\n"), ["reprise", "Hand", "Hand"]);
  assert.equal(await git("status", "--porcelain"), "");
});

test("an uncommitted edit is kept whatever is asked: the error names the file, and after the commit it goes on", async (t) => {
  const { ask, errorOf, git, file } = await prepare(t);
  const { commit } = await read({ ask });
  const edited = countingPattern(name, 5).replace("kept by hand", "half written");
  await writeFile(file, edited);
  for (const [command, request] of [
    ["composition:save", { name, content: countingPattern(name, 1), based_on: commit }],
    ["composition:delete", { name }],
  ] as const) {
    const error = await errorOf(command, request);
    assert.deepEqual([error.code, error.details.file], ["REPOSITORY_CONFLICT", path], command);
    assert.equal(await readFile(file, "utf8"), edited);
  }
  assert.equal(countIn((await read({ ask })).content), 0, "what is committed is what is read");
  await git("commit", "-qam", "finished");
  const { content, commit: committed } = await read({ ask });
  assert.equal(content, edited);
  await ask("composition:save", { name, content: countingPattern(name, 6), based_on: committed });
});

test("git revert, switch, checkout of a commit and clone work on it as on any repository, and the daemon follows", async (t) => {
  const { ask, codeOf, git, folder } = await prepare(t);
  const save = async (count: number) => {
    const { commit } = await read({ ask });
    return ask<{ commit: string }>("composition:save", { name, content: countingPattern(name, count), based_on: commit });
  };
  await save(1);
  await git("revert", "--no-edit", "HEAD");
  assert.equal(countIn((await read({ ask })).content), 0);

  await git("switch", "-qc", "trial");
  await save(7);
  assert.equal(await git("log", "-1", "--format=%s", "trial"), `composition(${name}): save 1.0.0`);
  await git("switch", "-q", "main");
  assert.equal(countIn((await read({ ask })).content), 0, "what the branch said stays on the branch");

  await git("checkout", "-q", "--detach");
  const { content, commit } = await read({ ask });
  assert.equal(countIn(content), 0);
  assert.equal(await codeOf("composition:save", { name, content: countingPattern(name, 2), based_on: commit }), "REPOSITORY_UNAVAILABLE");
  await git("switch", "-q", "main");
  await git("merge", "-q", "--no-edit", "trial");
  assert.equal(countIn((await read({ ask })).content), 7);
  await git("clone", "-q", folder, join(folder, ".git", "copy"));
  assert.equal(await gitIn(join(folder, ".git", "copy"))("rev-parse", "HEAD"), await git("rev-parse", "HEAD"));
});

test("decisions wait while somebody edits their file, say so, and follow the commit of the edit", async (t) => {
  const { ask, git, folder } = await prepare(t);
  await ask("composition:track_decision", { pattern: name, decision: "first", wait: "commit" });
  const decisions = `orchestrations/${name}_decisions.yaml`;
  const text = await readFile(join(folder, decisions), "utf8");
  await writeFile(join(folder, decisions), `# a note by hand\n${text}`);
  const { id } = await ask("composition:track_decision", { pattern: name, decision: "second" });
  const page = () =>
    ask<{ decisions: { id: string }[]; waiting?: { code: string; message: string } }>("composition:decisions", { pattern: name });
  const waiting = await until(async () => (await page()).waiting, "the reason why decisions wait");
  assert.equal(waiting.code, "REPOSITORY_CONFLICT");
  assert.match(waiting.message, new RegExp(decisions));
  assert.equal(await readFile(join(folder, decisions), "utf8"), `# a note by hand\n${text}`);

  await git("commit", "-qam", "a note");
  await until(async () => (await page()).decisions.some((decision) => decision.id === id), "the second decision in git");
  const recorded = await readFile(join(folder, decisions), "utf8");
  assert.ok(recorded.startsWith(`# a note by hand\n${text}`), recorded);
  await until(async () => (await page()).waiting === undefined, "decisions to wait no longer");
});

/** Each has about an even chance. */
const mostTries = 25;

const hasSucceeded = (attempt: Promise<unknown>) =>
  attempt.then(
    () => true,
    () => false,
  );

test("commits by hand all the time while four clients save without pause: both sides' changes are all there", {
  timeout: 300_000,
}, async (t) => {
  const { client, ask, git, file, folder } = await prepare(t);
  const names = [0, 1, 2, 3].map((number) => `saved-${number}`);
  for (const saved of names) await ask("composition:create", { type: "orchestration", name: saved, content: countingPattern(saved, 0) });
  const workers = startWorkers(names.map((saved) => () => increment(client, saved)));
  const commits = rounds(20, 150);
  for (let count = 1; count <= commits; count++) {
    const saved = workers.acknowledged.length;
    await writeFile(file, countingPattern(name, count));
    // Git refuses when the daemon holds the lock or moves the branch at that moment; a person tries again.
    let tries = 1;
    while (!(await hasSucceeded(git("commit", "-qm", `hand ${count}`, "--", path)))) assert.ok(++tries <= mostTries, "git had no chance");
    await until(() => workers.acknowledged.length > saved, "a save between two commits by hand", 60_000);
  }
  await workers.finish();
  const subjects = (await git("log", "--format=%s")).split("\n");
  assert.equal(subjects.filter((subject) => subject.startsWith("hand ")).length, commits);
  assert.equal(countIn((await read({ ask })).content), commits);
  const reachable = new Set((await git("rev-list", "HEAD")).split("\n"));
  assert.deepEqual(
    workers.acknowledged.filter((commit) => !reachable.has(commit)),
    [],
  );
  let total = 0;
  for (const saved of names) total += countIn(await readFile(join(folder, `orchestrations/${saved}.yaml`), "utf8"));
  assert.equal(total, workers.acknowledged.length, "each save added 1");
  assert.ok(total >= commits);
  assert.equal(await fsck(git), "");
  assert.equal(await git("status", "--porcelain"), "");
});
