/** What the daemon derives, edited and committed with plain git: it is reported, has no effect, and costs nothing else its use. */
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { askerOn } from "../harness/ask.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { gitIn } from "../harness/git.ts";
import { until } from "../harness/until.ts";

const textOf = (name: string, more = "") =>
  `name: ${name}\ntype: orchestration\nversion: 1.0.0\ntags: [derived]\nvariables: {rounds: 3}\n${more}orchestration_logic:\n  strategy: |\n    EMIT test:done\n`;

interface Issue {
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly path?: string;
}
interface Summary {
  readonly name: string;
  readonly valid: boolean;
  readonly version?: string;
  readonly issues?: Issue[];
}

/** A daemon with the pattern `base` and its fork `child`, and ways to edit by hand and to ask what is wrong. */
async function start(t: TestContext) {
  const daemon = await startTestDaemon();
  t.after(() => daemon[Symbol.asyncDispose]());
  const { ask, errorOf, codeOf } = { ...daemon, ...askerOn(daemon.client) };
  const folder = daemon.config.compositions;
  const git = gitIn(folder);
  const pathOf = (name: string) => join(folder, `orchestrations/${name}.yaml`);
  const editByHand = async (name: string, edit: (text: string) => string) => {
    await writeFile(pathOf(name), edit(await readFile(pathOf(name), "utf8")));
    await git("commit", "-qam", "by hand");
  };
  const problemsOf = async (name: string) => {
    const { compositions } = await ask<{ compositions: Summary[] }>("composition:list", { type: "orchestration" });
    const listed = compositions.find((one) => one.name === name) ?? assert.fail();
    const validated = await ask<{ valid: boolean; issues: Issue[] }>("composition:validate", { name });
    assert.deepEqual([validated.valid, validated.issues], [listed.valid, listed.issues ?? []], "list and validate agree");
    return validated.issues;
  };
  await ask("composition:create", { type: "orchestration", name: "base", content: textOf("base") });
  await ask("composition:fork", { parent: "base", name: "child", reason: "a trial", modifications: { "variables.rounds": 5 } });
  return { ask, errorOf, codeOf, git, editByHand, problemsOf };
}

const read = (ask: Awaited<ReturnType<typeof start>>["ask"], name: string) =>
  ask<{ content: string; commit: string; performance?: object }>("composition:get", { name });

test("a performance block committed by hand is a problem with line and column, measures nothing, and is gone when it is removed", async (t) => {
  const { ask, codeOf, editByHand, problemsOf } = await start(t);
  assert.deepEqual(await problemsOf("base"), []);
  await editByHand("base", () => textOf("base", "performance: {runs: 900, mean_score: 1}\n"));
  const [problem, ...others] = await problemsOf("base");
  assert.deepEqual([problem?.path, problem?.line, problem?.column, others], ["performance", 6, 14, []]);
  assert.match(problem?.message ?? "", /remove it/);

  assert.equal((await read(ask, "base")).performance, undefined);
  const filtered = await ask<{ total: number }>("composition:discover", { metadata_filter: { "performance.runs": { ">": 1 } } });
  assert.equal(filtered.total, 0);
  const found = await ask<{ compositions: Summary[] }>("composition:discover", { tags: ["derived"] });
  assert.deepEqual(
    found.compositions.map(({ name, version }) => [name, version]),
    [
      ["base", "1.0.0"],
      ["child", "1.0.0"],
    ],
  );
  await ask("composition:render", { name: "base" });
  await ask("composition:fork", { parent: "base", name: "another", reason: "it can be used" });
  assert.deepEqual(await problemsOf("another"), []);

  const { content, commit } = await read(ask, "base");
  const saved = { name: "base", based_on: commit };
  assert.equal(await codeOf("composition:save", { ...saved, content: content.replace("900", "901") }), "COMPOSITION_INVALID");
  await ask("composition:save", { ...saved, content: textOf("base") });
  assert.deepEqual(await problemsOf("base"), []);
});

test("a lineage changed by hand is a problem that names the commit to go back to; the family and merges go by what the daemon wrote", async (t) => {
  const { ask, git, editByHand, problemsOf } = await start(t);
  const forked = await git("rev-parse", "HEAD");
  await editByHand("child", (text) => text.replace(/parent: .*/, "parent: tournament_basic@1.0.0"));
  const [problem, ...others] = await problemsOf("child");
  assert.deepEqual([problem?.path, others], ["lineage", []]);
  const line = (await read(ask, "child")).content.split("\n").findIndex((one) => one.includes("parent:")) + 1;
  assert.deepEqual([problem?.line, problem?.column], [line, 3]);
  assert.match(problem?.message ?? "", new RegExp(`put back .* ${forked}`));
  const told = () =>
    ask<{ events: { data: { path: string; author: string; issues: Issue[] } }[] }>("event:query", { types: ["composition:invalid"] });
  const { data } = await until(async () => (await told()).events[0], "the event");
  assert.deepEqual([data.path, data.author, data.issues], ["orchestrations/child.yaml", "Hand", [problem]]);

  const family = async () => (await ask<{ ancestors: { name: string }[] }>("composition:lineage", { name: "child" })).ancestors;
  assert.deepEqual(
    (await family()).map(({ name }) => name),
    ["base"],
  );
  await ask("composition:save", {
    name: "child",
    based_on: (await read(ask, "child")).commit,
    content: (await read(ask, "child")).content.replace("rounds: 5", "rounds: 6"),
  });
  assert.equal((await problemsOf("child")).length, 1, "a save of something else leaves the problem as it is");
  const merged = await ask<{ status: string }>("composition:merge", { source: "child", target: "base", strategy: "full" });
  assert.equal(merged.status, "merged");
  assert.deepEqual(await problemsOf("base"), [], "what a merge writes is the daemon's");

  await editByHand("child", (text) => text.replace(/parent: .*/, "parent: base@1.0.0"));
  assert.deepEqual(await problemsOf("child"), []);
});

test("a lineage taken out by hand is a problem, and what a merge into it writes is true again", async (t) => {
  const { ask, editByHand, problemsOf } = await start(t);
  await editByHand("child", (text) => text.replace(/^lineage:\n(?: .*\n)+/m, ""));
  assert.deepEqual(
    (await problemsOf("child")).map(({ path }) => path),
    ["lineage"],
  );
  const mergeBase = async () =>
    (await ask<{ status: string }>("composition:merge", { source: "base", target: "child", strategy: "full" })).status;
  assert.equal(await mergeBase(), "unchanged", "there is nothing to take");
  await editByHand("base", (text) => text.replace("[derived]", "[derived, more]"));
  assert.equal(await mergeBase(), "merged");
  assert.deepEqual(await problemsOf("child"), []);
  const { content } = await read(ask, "child");
  assert.match(content, /parent: base@1\.0\.0/);
  assert.match(content, /merges:/);
});

test("git revert of a merge, and a whole fork that is brought from elsewhere, are no problems", async (t) => {
  const { ask, git, editByHand, problemsOf } = await start(t);
  await ask("composition:merge", { source: "child", target: "base", strategy: "full" });
  await git("revert", "--no-edit", "HEAD");
  assert.deepEqual(await problemsOf("base"), []);
  await editByHand("base", (text) => text.replace("rounds: 3", "rounds: 4"));
  assert.deepEqual(await problemsOf("base"), []);

  const folder = await git("rev-parse", "--show-toplevel");
  const text = (await read(ask, "child")).content.replace("name: child", "name: brought");
  await writeFile(join(folder, "orchestrations/brought.yaml"), text);
  await git("add", "orchestrations/brought.yaml");
  await git("commit", "-qm", "from elsewhere");
  assert.deepEqual(await problemsOf("brought"), []);
  await editByHand("brought", (brought) => brought.replace("reason: a trial", "reason: another"));
  assert.equal((await problemsOf("brought")).length, 1);
});

test("a text that broke may be mended with the lineage that it had, and with no other", async (t) => {
  const { ask, errorOf, editByHand, problemsOf } = await start(t);
  const { content } = await read(ask, "child");
  await editByHand("child", (text) => `${text}broken: [\n`);
  const save = { name: "child", based_on: (await read(ask, "child")).commit };
  const error = await errorOf("composition:save", { ...save, content: content.replace("a trial", "a better one") });
  assert.deepEqual([error.code, /lineage: is written by the daemon/.test(error.message)], ["COMPOSITION_INVALID", true], error.message);
  await ask("composition:save", { ...save, content: `${content}# mended\n` });
  assert.deepEqual(await problemsOf("child"), []);
});

test("a text that is validated before it is committed is held to the lineage of the file that it is for", async (t) => {
  const { ask } = await start(t);
  const { content } = await read(ask, "child");
  const issuesOf = async (text: string) =>
    (await ask<{ issues: Issue[] }>("composition:validate", { content: text })).issues.map(({ path }) => path);
  assert.deepEqual(await issuesOf(content), []);
  assert.deepEqual(await issuesOf(content.replace("generation: 1", "generation: 7")), ["lineage"]);
  assert.deepEqual(await issuesOf(`${content}performance: {runs: 1}\n`), ["performance"]);
});
