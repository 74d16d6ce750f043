import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { CommitRequest } from "../../daemon/module.ts";
import composition from "../../modules/composition/index.ts";
import { gitIn } from "../harness/git.ts";
import { startModule } from "../harness/module-context.ts";

async function start(t: TestContext) {
  const module = await startModule(composition);
  t.after(() => module[Symbol.asyncDispose]());
  const { call } = module;
  const create = (name: string, content: string, type = "orchestration") =>
    call("create", { type, name, content: `name: ${name}\ntype: ${type}\nversion: 1.0.0\n${content}` });
  const save = async (name: string, change: (text: string) => string) => {
    const { content, commit } = await call("get", { name });
    return call("save", { name, content: change(content), based_on: commit });
  };
  const textOf = async (name: string): Promise<string> => (await call("get", { name })).content;
  return { ...module, create, save, textOf, git: gitIn(module.folder) };
}

const logic = `# how it is played
tags: [a, b] # short
variables: {limit: 3}
orchestration_logic:
  strategy: |
    FIRST:
      RUN "a" # quickly

    THEN:
      RUN "b"

    FINALLY:
      RETURN {x: 1,
        y: 2}
`;

test("a fork is a full copy with its changes, its lineage, a commit that says so, and an event", async (t) => {
  const { call, create, textOf, git, log } = await start(t);
  const parent = await create("demo", logic);
  const fork = await call("fork", {
    parent: "demo",
    name: "faster",
    reason: "b is slow",
    modifications: { "variables.limit": 5, "tags[2]": "c", description: "Quick." },
    author: "Ann <ann@localhost>",
  });
  assert.equal(fork.version, "1.0.0");
  assert.deepEqual(
    { ...fork.lineage, forked_at: "" },
    { parent: "demo@1.0.0", commit: parent.commit, reason: "b is slow", forked_at: "", generation: 1 },
  );
  const text = await textOf("faster");
  const expected = `name: faster\ntype: orchestration\nversion: 1.0.0\n${logic}`.replace("limit: 3", "limit: 5").replace("a, b", "a, b, c");
  assert.ok(text.startsWith(expected), text);
  assert.equal(
    await git("log", "-1", "--format=%an|%s|%(trailers:key=Forked-From,valueonly)"),
    `Ann|composition(faster): fork demo@1.0.0|demo@1.0.0 ${parent.commit}`,
  );
  const { type, data } = log.records.at(-1) as { type: string; data: unknown };
  assert.equal(type, "composition:forked");
  assert.deepEqual(data, {
    name: "faster",
    type: "orchestration",
    version: "1.0.0",
    commit: fork.commit,
    author: "Ann",
    reason: "b is slow",
    parent: { name: "demo", version: "1.0.0", commit: parent.commit },
  });
  await call("delete", { name: "demo" });
  assert.equal((await call("render", { name: "faster" })).data.variables.limit, 5);
  const { lineage } = await call("fork", { parent: "faster", name: "fastest", reason: "more" });
  assert.equal(lineage.generation, 2);
});

test("a fork refuses what the daemon writes, paths that lead nowhere, a taken name and a result that is invalid", async (t) => {
  const { call, create } = await start(t);
  await create("demo", logic);
  const fork = (modifications: object, name = "other") => call("fork", { parent: "demo", name, reason: "try", modifications });
  for (const path of [
    "performance",
    "performance.runs",
    "lineage.parent",
    "name",
    "type",
    "variables.limit.x",
    "tags[9]",
    "a..b",
    "__proto__.x",
  ]) {
    await assert.rejects(fork({ [path]: 1 }), { code: "REQUEST_INVALID" }, path);
  }
  await assert.rejects(fork({ tags: "no list" }), { code: "COMPOSITION_INVALID" });
  await assert.rejects(fork({}, "demo"), { code: "COMPOSITION_EXISTS" });
  await assert.rejects(call("fork", { parent: "nobody", name: "x", reason: "try" }), { code: "COMPOSITION_NOT_FOUND" });
  await assert.rejects(call("fork", { parent: "demo", name: "x", reason: "a\nEvent: memory/1" }), { code: "REQUEST_INVALID" });
});

test("of several who want one name at the same time one gets it, and the others are told that it is taken", async (t) => {
  const { call, context, folder, git } = await start(t);
  const textOf = (type: string) => `name: wanted\ntype: ${type}\nversion: 1.0.0\n`;
  await call("create", { type: "profile", name: "parent", content: textOf("profile").replace("wanted", "parent") });
  const outcomes = await Promise.allSettled([
    ...["orchestration", "component"].map((type) => call("create", { type, name: "wanted", content: textOf(type) })),
    ...Array.from({ length: 4 }, () => call("fork", { parent: "parent", name: "wanted", reason: "a race" })),
  ]);
  const refusals = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason.code] : []));
  assert.deepEqual(refusals, Array(5).fill("COMPOSITION_EXISTS"));

  const commit = context.repository.commit.bind(context.repository);
  Object.assign(context.repository, {
    async commit(request: CommitRequest) {
      await writeFile(join(folder, "profiles", "mine.yaml"), textOf("profile").replace("wanted", "mine"));
      await git("add", "profiles/mine.yaml");
      await git("commit", "-qm", "by hand");
      return commit(request);
    },
  });
  await assert.rejects(call("fork", { parent: "parent", name: "mine", reason: "too late" }), { code: "COMPOSITION_EXISTS" });
});

test("a diff tells what changed by path and by statement, and how both are related", async (t) => {
  const { call, create, save } = await start(t);
  const first = await create("demo", logic);
  await call("fork", { parent: "demo", name: "left", reason: "one" });
  await call("fork", { parent: "demo", name: "right", reason: "two", modifications: { "variables.limit": 4 } });
  await call("fork", { parent: "left", name: "grandchild", reason: "three" });
  await create("stranger", logic);
  await save("demo", (text) =>
    text.replace("1.0.0", "1.1.0").replace('      RUN "b"\n', '      RUN "b"\n      RUN "c"\n').replace("y: 2", "y: 3"),
  );
  const relationship = async (left: string, right: string) => (await call("diff", { left, right })).relationship;
  assert.equal(await relationship("demo", "demo"), "same");
  assert.equal(await relationship("demo", "left"), "ancestor");
  assert.equal(await relationship("grandchild", "demo"), "descendant");
  assert.equal(await relationship("left", "right"), "siblings");
  assert.equal(await relationship("grandchild", "right"), "siblings");
  assert.equal(await relationship("stranger", "demo"), "unrelated");
  assert.equal(await relationship("demo", "demo@1.0.0"), "descendant");
  const { relationship: history, changes, text } = await call("diff", { left: first.commit, right: "demo" });
  assert.equal(history, "ancestor");
  assert.deepEqual(changes, [
    { path: "version", kind: "changed", left: "1.0.0", right: "1.1.0" },
    { path: "orchestration_logic.strategy[6]", kind: "added", right: '  RUN "c"' },
    {
      path: "orchestration_logic.strategy[9]",
      kind: "changed",
      left: "  RETURN {x: 1,\n    y: 2}",
      right: "  RETURN {x: 1,\n    y: 3}",
    },
  ]);
  assert.match(text, /^--- orchestrations\/demo\.yaml@1\.0\.0\n\+\+\+ orchestrations\/demo\.yaml@1\.1\.0\n@@ /);
  assert.match(text, /^\+ {6}RUN "c"$/m);
});

test("a fork is merged back: both sides' changes, a new version, the evidence in the commit, an event", async (t) => {
  const { call, create, save, textOf, git, log } = await start(t);
  await create("demo", logic);
  await call("fork", { parent: "demo", name: "better", reason: "try", modifications: { "variables.limit": 9 } });
  await save("better", (text) => text.replace('RUN "a" # quickly', 'RUN "a1"').replace("# short", "# two of them"));
  const head = await save("demo", (text) => text.replace('RUN "b"', 'RUN "b1"'));
  const merged = await call("merge", {
    source: "better",
    target: "demo",
    strategy: "full",
    evidence: ["run-1", "run-2"],
    author: "Ann",
    reason: "it won",
  });
  assert.deepEqual([merged.status, merged.version], ["merged", "1.1.0"]);
  const expected = `name: demo\ntype: orchestration\nversion: 1.1.0\n${logic}`
    .replace('RUN "a" # quickly', 'RUN "a1"')
    .replace('RUN "b"', 'RUN "b1"')
    .replace("# short", "# two of them")
    .replace("limit: 3", "limit: 9");
  const text = await textOf("demo");
  assert.ok(text.startsWith(expected), text);
  assert.equal(
    await git(
      "log",
      "-1",
      "--format=%an|%s|%(trailers:key=Merged-From,valueonly,separator=%x2C)|%(trailers:key=Evidence,valueonly,separator=%x2C)",
    ),
    `Ann|composition(demo): merge better@1.0.0 (full)|better@1.0.0 ${head.commit}|run-1,run-2`,
  );
  const { type, data } = log.records.at(-1) as { type: string; data: { evidence: string[]; reason: string; commit: string } };
  assert.deepEqual([type, data.evidence, data.reason, data.commit], ["composition:merged", ["run-1", "run-2"], "it won", merged.commit]);
  const [record] = (await call("get", { name: "demo" })).data.lineage.merges;
  assert.deepEqual([record.source, record.commit, record.evidence], ["better@1.0.0", head.commit, ["run-1", "run-2"]]);
  assert.deepEqual(await call("merge", { source: "better", target: "demo", strategy: "full" }), { status: "unchanged", version: "1.1.0" });
  assert.equal((await call("merge", { source: "demo", target: "better", strategy: "full" })).status, "merged");
  assert.match(await textOf("better"), /RUN "b1"/);
  assert.equal((await call("get", { name: "better" })).data.lineage.parent, "demo@1.0.0");
});

test("what was merged before is the base of the next merge, in either direction", async (t) => {
  const { call, create, save, textOf } = await start(t);
  await create("demo", logic);
  await call("fork", { parent: "demo", name: "better", reason: "try" });
  await save("better", (text) => text.replace("limit: 3", "limit: 4"));
  await call("merge", { source: "better", target: "demo", strategy: "full" });
  await save("better", (text) => text.replace("limit: 4", "limit: 5"));
  assert.equal((await call("merge", { source: "better", target: "demo", strategy: "full" })).status, "merged");
  assert.match(await textOf("demo"), /limit: 5/);
  await save("demo", (text) => text.replace("limit: 5", "limit: 6"));
  assert.equal((await call("merge", { source: "demo", target: "better", strategy: "full" })).status, "merged");
  assert.match(await textOf("better"), /limit: 6/);
});

test("conflicts come back with base, ours and theirs; nothing is written until resolutions settle them", async (t) => {
  const { call, create, save, textOf, git } = await start(t);
  await create("demo", logic);
  await call("fork", { parent: "demo", name: "better", reason: "try", modifications: { "variables.limit": 9 } });
  await save("better", (text) => text.replace('RUN "b"', 'RUN "b2"'));
  await save("demo", (text) => text.replace("limit: 3", "limit: 1").replace('RUN "b"', 'RUN "b1"'));
  const before = await git("rev-parse", "HEAD");
  const merge = (more: object = {}) => call("merge", { source: "better", target: "demo", strategy: "full", ...more });
  assert.deepEqual(await merge(), {
    status: "conflicts",
    conflicts: [
      { path: "variables.limit", base: 3, ours: 1, theirs: 9 },
      { path: "orchestration_logic.strategy[5]", base: '  RUN "b"', ours: '  RUN "b1"', theirs: '  RUN "b2"' },
    ],
  });
  assert.equal((await merge({ resolutions: { "variables.limit": "ours" } })).conflicts.length, 1);
  await assert.rejects(merge({ resolutions: { tags: "ours" } }), { code: "REQUEST_INVALID", message: /no conflict at tags/ });
  assert.equal(await git("rev-parse", "HEAD"), before);
  const resolutions = { "variables.limit": { value: 7 }, "orchestration_logic.strategy": "theirs" };
  assert.equal((await merge({ resolutions })).status, "merged");
  assert.match(await textOf("demo"), /limit: 7[\s\S]*RUN "b2"/);
});

test("a selective merge takes the named paths alone, also single statements; metadata_only leaves the logic", async (t) => {
  const { call, create, save, textOf } = await start(t);
  await create("demo", logic);
  await call("fork", { parent: "demo", name: "better", reason: "try", modifications: { "variables.limit": 9, description: "Better." } });
  await save("better", (text) => text.replace('RUN "a"', 'RUN "a1"').replace('RUN "b"', 'RUN "b1"').replace("# short", "# longer"));
  const selective = (improvements: string[]) => call("merge", { source: "better", target: "demo", strategy: "selective", improvements });
  await selective(["orchestration_logic.strategy[5]"]);
  assert.match(await textOf("demo"), /limit: 3[\s\S]*RUN "a" # quickly[\s\S]*RUN "b1"/);
  assert.match(await textOf("demo"), /# short/);
  await call("merge", { source: "better", target: "demo", strategy: "metadata_only" });
  const text = await textOf("demo");
  assert.match(text, /# longer[\s\S]*limit: 9[\s\S]*RUN "a" #[\s\S]*RUN "b1"/);
  assert.match(text, /^description: Better\.$/m);
  assert.match(text, /^version: 1\.2\.0$/m);
  await selective(["orchestration_logic"]);
  assert.match(await textOf("demo"), /RUN "a1"/);
  for (const improvements of [[], ["version"], ["nothing.here"], ["orchestration_logic.strategy[11]"]]) {
    await assert.rejects(selective(improvements), { code: "REQUEST_INVALID" }, String(improvements));
  }
});

test("siblings merge on their parent; strangers are refused with the reason", async (t) => {
  const { call, create, textOf } = await start(t);
  await create("demo", logic);
  await call("fork", { parent: "demo", name: "left", reason: "one", modifications: { "variables.limit": 4 } });
  await call("fork", { parent: "demo", name: "right", reason: "two", modifications: { tags: ["a"] } });
  await create("stranger", logic);
  await call("delete", { name: "demo" });
  assert.equal((await call("merge", { source: "left", target: "right", strategy: "full" })).status, "merged");
  assert.match(await textOf("right"), /tags: \[a\] # short\nvariables: \{limit: 4\}/);
  await assert.rejects(call("merge", { source: "stranger", target: "left", strategy: "full" }), {
    code: "COMPOSITION_UNRELATED",
    details: { source: "stranger", target: "left", reason: "neither was forked from the other, and they have no ancestor in common" },
  });
  await assert.rejects(call("merge", { source: "left", target: "left", strategy: "full" }), { code: "REQUEST_INVALID" });
});

test("merges and saves of the same target at the same time are all in it", async (t) => {
  const { call, create, textOf } = await start(t);
  await create("demo", logic);
  const names = Array.from({ length: 6 }, (_, at) => `fork-${at}`);
  for (const name of names) await call("fork", { parent: "demo", name, reason: "try", modifications: { [`notes.${name}`]: name } });
  await Promise.all(names.map((source) => call("merge", { source, target: "demo", strategy: "full" })));
  const text = await textOf("demo");
  for (const name of names) assert.ok(text.includes(`${name}: ${name}`), text);
  assert.match(text, /^version: 1\.6\.0$/m);
});
