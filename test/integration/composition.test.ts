import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import composition from "../../modules/composition/index.ts";
import { gitIn } from "../harness/git.ts";
import { startModule } from "../harness/module-context.ts";

const textOf = (version: string, more = "") => `# kept comment
name: demo
type: orchestration
version: ${version}   # odd spacing
orchestration_logic:
  strategy: |
    EMIT "x"
my_own_field: {a: [1, 2]}
${more}`;

async function start(t: TestContext) {
  const module = await startModule(composition);
  t.after(() => module[Symbol.asyncDispose]());
  return { ...module, git: gitIn(module.folder) };
}

test("a composition is created, read, saved and listed, byte for byte", async (t) => {
  const { call, log, git } = await start(t);
  const created = await call("create", {
    type: "orchestration",
    name: "demo",
    content: textOf("1.0.0"),
    author: "Ann <ann@localhost>",
    message: "why",
  });
  const read = await call("get", { name: "demo" });
  assert.deepEqual(
    [read.name, read.type, read.version, read.commit, read.content],
    ["demo", "orchestration", "1.0.0", created.commit, textOf("1.0.0")],
  );
  assert.deepEqual(read.data.my_own_field, { a: [1, 2] });
  const saved = await call(
    "save",
    { name: "demo", content: textOf("1.1.0"), based_on: read.commit },
    { caller: { kind: "agent", id: "agent-7" } },
  );
  assert.equal((await call("get", { name: "demo" })).content, textOf("1.1.0"));
  assert.deepEqual(await call("list", {}), {
    compositions: [{ name: "demo", type: "orchestration", valid: true, version: "1.1.0", description: undefined, tags: undefined }],
  });
  assert.equal(
    await git("log", "--format=%an <%ae> %s"),
    "agent-7 <reprise@localhost> composition(demo): save 1.1.0\nAnn <ann@localhost> why",
  );
  assert.deepEqual(
    log.records.map(({ type, data }) => [type, data]),
    [
      ["composition:created", { name: "demo", type: "orchestration", version: "1.0.0", commit: created.commit, author: "Ann" }],
      ["composition:saved", { name: "demo", type: "orchestration", version: "1.1.0", commit: saved.commit, author: "agent-7" }],
    ],
  );
  assert.equal(await git("status", "--porcelain"), "");
});

test("get finds the newest commit of a version, and a commit", async (t) => {
  const { call } = await start(t);
  const first = await call("create", { type: "orchestration", name: "demo", content: textOf("1.0.0") });
  const fixed = await call("save", { name: "demo", content: textOf("1.0.0", "fixed: true\n"), based_on: first.commit });
  await call("save", { name: "demo", content: textOf("2.0.0"), based_on: fixed.commit });
  assert.equal((await call("get", { name: "demo@1.0.0" })).commit, fixed.commit);
  assert.equal((await call("get", { name: "demo", version: "2.0.0" })).version, "2.0.0");
  assert.equal((await call("get", { name: `demo@${first.commit}` })).content, textOf("1.0.0"));
  for (const input of [{ name: "demo@3.0.0" }, { name: "other" }, { name: "demo", commit: "0".repeat(40) }, { name: "../x" }]) {
    await assert.rejects(call("get", input), { code: "COMPOSITION_NOT_FOUND" });
  }
  await assert.rejects(call("get", { name: "dmeo" }), { message: "There is no composition dmeo; did you mean demo?" });
});

test("save refuses a stale base, an unchanged text, an invalid one, and edits of derived fields", async (t) => {
  const { call } = await start(t);
  const { commit } = await call("create", { type: "orchestration", name: "demo", content: textOf("1.0.0") });
  const save = (content: string, basedOn = commit) => call("save", { name: "demo", content, based_on: basedOn });
  await assert.rejects(save(textOf("1.0.0")), { code: "REQUEST_INVALID" });
  await assert.rejects(save(textOf("one")), {
    code: "COMPOSITION_INVALID",
    details: { issues: [{ message: "expected a semantic version such as 1.0.0", line: 4, column: 10, path: "version" }] },
  });
  await assert.rejects(save(textOf("1.1.0").replace("name: demo", "name: other")), {
    code: "COMPOSITION_INVALID",
    message: /must be "demo"/,
  });
  await assert.rejects(save(textOf("1.1.0", "performance: {runs: 9}\n")), {
    code: "COMPOSITION_INVALID",
    message: /line 9.*performance: is written by the daemon/,
  });
  await save(textOf("1.1.0"));
  await assert.rejects(save(textOf("1.2.0")), { code: "COMPOSITION_STALE" });
  await assert.rejects(
    call("create", { type: "component", name: "demo", content: textOf("1.0.0").replace("orchestration", "component") }),
    { code: "COMPOSITION_EXISTS" },
  );
});

test("an uncommitted edit by hand stops a save and is named", async (t) => {
  const { call, folder } = await start(t);
  const { commit } = await call("create", { type: "orchestration", name: "demo", content: textOf("1.0.0") });
  await writeFile(join(folder, "orchestrations/demo.yaml"), "edited");
  await assert.rejects(call("save", { name: "demo", content: textOf("1.1.0"), based_on: commit }), {
    code: "REPOSITORY_CONFLICT",
    details: { file: "orchestrations/demo.yaml" },
  });
});

test("a file that was broken by hand is reported and does not hide the others", async (t) => {
  const { call, folder, git } = await start(t);
  await call("create", { type: "orchestration", name: "demo", content: textOf("1.0.0") });
  await writeFile(join(folder, "orchestrations/broken.yaml"), "name: broken\nversion: [\n");
  await git("add", "-A");
  await git("commit", "-q", "-m", "broken");
  const { compositions } = await call("list", { type: "orchestration" });
  assert.deepEqual(
    compositions.map(({ name, valid }: { name: string; valid: boolean }) => [name, valid]),
    [
      ["broken", false],
      ["demo", true],
    ],
  );
  assert.equal((await call("get", { name: "broken" })).content, "name: broken\nversion: [\n");
  const { valid, issues } = await call("validate", { name: "broken" });
  assert.deepEqual([valid, issues[0].line], [false, 3]);
});

test("validate checks a text without writing it", async (t) => {
  const { call } = await start(t);
  assert.deepEqual(await call("validate", { content: textOf("1.0.0") }), { valid: true, issues: [] });
  assert.equal((await call("validate", { content: textOf("1.0.0"), name: "other" })).valid, false);
  assert.match((await call("validate", { content: "[".repeat(20_000) })).issues[0].message, /nested deeper/);
});

test("a deleted composition is gone, and its history stays", async (t) => {
  const { call } = await start(t);
  const { commit } = await call("create", { type: "orchestration", name: "demo", content: textOf("1.0.0") });
  await call("delete", { name: "demo", based_on: commit });
  await assert.rejects(call("get", { name: "demo" }), { code: "COMPOSITION_NOT_FOUND" });
  assert.equal((await call("get", { name: "demo", commit })).version, "1.0.0");
});
