import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import composition from "../../modules/composition/index.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { startModule } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const textOf = (name: string, version = "1.0.0", more = "") => `name: ${name}\ntype: orchestration\nversion: ${version}\n${more}`;

async function start(t: TestContext) {
  const folder = await temporaryFolder(t);
  const database = join(await temporaryFolder(t), "index.sqlite");
  const log = new MemoryEventLog();
  await gitIn(folder)("init", "-q", "-b", "main");
  const open = () => startModule(composition, { folder, database, log });
  const git = gitIn(folder);
  const commitByHand = async (files: Record<string, string>, message = "by hand") => {
    await mkdir(join(folder, "orchestrations"), { recursive: true });
    for (const [path, content] of Object.entries(files)) await writeFile(join(folder, path), content);
    await git("add", "-A");
    await git("commit", "-q", "-m", message);
  };
  return { open, folder, database, log, git, commitByHand };
}

const namesOf = ({ compositions }: { compositions: { name: string }[] }) => compositions.map(({ name }) => name);

test("a commit by hand is answered at once; what it broke is listed, told once, and hides nothing else", async (t) => {
  const { open, log, git, commitByHand } = await start(t);
  {
    await using module = await open();
    await module.call("create", { type: "orchestration", name: "one", content: textOf("one") });
    await commitByHand({ "orchestrations/two.yaml": textOf("two"), "orchestrations/broken.yaml": "name: [\n", "README.md": "x" });
    assert.deepEqual(namesOf(await module.call("list", { invalid: true })), ["broken"]);
    assert.deepEqual(namesOf(await module.call("list", { invalid: false })), ["one", "two"]);
    await until(() => log.ofType("composition:invalid").length > 0, "the event");
    await commitByHand({ "orchestrations/one.yaml": textOf("one", "1.1.0") });
    assert.equal((await module.call("get", { name: "one@1.1.0" })).commit, await git("rev-parse", "HEAD"));
  }
  await using again = await open();
  await commitByHand({ "orchestrations/broken.yaml": "name: {\n" });
  await again.call("list", {});
  const told = await until(() => log.ofType("composition:invalid").length > 1 && log.ofType("composition:invalid"), "the other event");
  const commits = await git("log", "--format=%H", "orchestrations/broken.yaml");
  assert.deepEqual(
    told.map(({ data }) => (data as { commit: string }).commit),
    commits.split("\n").reverse(),
  );
  const { path, author, issues } = (told[0] ?? assert.fail()).data as { path: string; author: string; issues: object[] };
  assert.deepEqual([path, author, issues.length > 0], ["orchestrations/broken.yaml", "Hand", true]);
});

test("the catalogue is the same when it is made again, grown commit by commit or not", async (t) => {
  const { open, folder, log, git, commitByHand } = await start(t);
  await using module = await open();
  const { call } = module;
  for (const name of ["one", "two"]) await call("create", { type: "orchestration", name, content: textOf(name) });
  for (let count = 0; count < 3; count++) {
    await Promise.all(
      Array.from({ length: 150 }, (_, number) =>
        call("track_decision", { pattern: "one", decision: { count, number, deep: { a: ["x".repeat(120)] } } }),
      ),
    );
    await until(
      async () => (await call("decisions", { pattern: "one", limit: 1_000 })).decisions.length === (count + 1) * 150,
      "the decisions",
    );
  }
  await until(async () => (await git("status", "--porcelain")) === "" && !existsSync(join(folder, ".git/index.lock")), "the work tree");
  await git("checkout", "-q", "-b", "side");
  await commitByHand({ "orchestrations/three.yaml": textOf("three") });
  await git("checkout", "-q", "main");
  await commitByHand({ "orchestrations/two.yaml": textOf("two", "2.0.0") });
  await git("merge", "-q", "--no-edit", "side");
  await call("delete", { name: "two" });
  const answers = async ({ call: ask }: typeof module) => ({
    list: await ask("list", {}),
    decisions: await ask("decisions", { pattern: "one", limit: 1_000 }),
    histories: await Promise.all(["one", "two", "three"].map((name) => ask("history", { name }))),
  });
  const grown = await answers(module);
  await module[Symbol.asyncDispose]();
  await using fresh = await startModule(composition, { folder, log });
  assert.deepEqual(await answers(fresh), grown);
  const versions = grown.histories[1].commits.map(({ version, removed }: { version?: string; removed?: true }) => version ?? removed);
  assert.deepEqual(versions, [true, "2.0.0", "1.0.0"]);
});

test("a branch that is rewritten by hand takes its commits out of the catalogue", async (t) => {
  const { open, git, commitByHand } = await start(t);
  await using module = await open();
  await commitByHand({ "orchestrations/one.yaml": textOf("one") });
  await commitByHand({ "orchestrations/two.yaml": textOf("two") });
  assert.deepEqual(namesOf(await module.call("list", {})), ["one", "two"]);
  await git("reset", "-q", "--hard", "HEAD~1");
  assert.deepEqual(namesOf(await module.call("list", {})), ["one"]);
  await assert.rejects(module.call("history", { name: "two" }), { code: "COMPOSITION_NOT_FOUND" });
});

test("history gives the commits of one composition in pages", async (t) => {
  const { open } = await start(t);
  await using module = await open();
  let { commit } = await module.call("create", {
    type: "orchestration",
    name: "demo",
    content: textOf("demo"),
    author: "Ann <ann@localhost>",
  });
  await module.call("create", { type: "orchestration", name: "other", content: textOf("other") });
  for (const version of ["1.1.0", "1.2.0"])
    commit = (await module.call("save", { name: "demo", content: textOf("demo", version), based_on: commit })).commit;
  const first = await module.call("history", { name: "demo", limit: 2 });
  const { commits, cursor } = await module.call("history", { name: "demo", limit: 2, cursor: first.cursor });
  assert.deepEqual(
    [...first.commits, ...commits].map(({ version }) => version),
    ["1.2.0", "1.1.0", "1.0.0"],
  );
  assert.deepEqual([first.commits[0].commit, cursor, commits[0].author], [commit, undefined, { name: "Ann", email: "ann@localhost" }]);
});

test("every filter of discover filters, and one that does not exist is an error", async (t) => {
  const { open } = await start(t);
  await using module = await open();
  const discover = async (input: object) => namesOf(await module.call("discover", input)).sort();
  const files = {
    small:
      'version: 1.2.0\ntags: [compression, quick]\ncapabilities: ["agent:*"]\nlimits: {rounds: 3, mode: "fast"}\ndescription: squeezes texts together\n',
    large: 'version: 1.10.0\ntags: [compression]\ncapabilities: ["event:emit"]\nlimits: {rounds: 12}\ndescription: a tournament of texts\n',
  };
  for (const [name, more] of Object.entries(files))
    await module.call("create", { type: "orchestration", name, content: `name: ${name}\ntype: orchestration\n${more}` });
  await module.call("create", { type: "component", name: "part", content: "name: part\ntype: component\nversion: 0.1.0\n" });
  const where = (path: string, condition: unknown) => discover({ metadata_filter: { [path]: condition } });
  assert.deepEqual(await discover({ type: "component" }), ["part"]);
  assert.deepEqual(await discover({ tags: ["quick", "compression"] }), ["small"]);
  assert.deepEqual(await discover({ capabilities: ["agent:spawn"] }), ["small"]);
  assert.deepEqual(await where("limits.rounds", { ">": 3 }), ["large"]);
  assert.deepEqual(await where("limits.rounds", { ">=": 3, "<": 12 }), ["small"]);
  assert.deepEqual(await where("limits.rounds", { "<=": 2 }), []);
  assert.deepEqual(await where("limits.rounds", 12), ["large"]);
  assert.deepEqual(await where("limits.rounds", { "!=": 12 }), ["part", "small"]);
  assert.deepEqual(await where("limits.mode", { exists: true }), ["small"]);
  assert.deepEqual(await where("name", { in: ["part", "large"] }), ["large", "part"]);
  assert.deepEqual(await where("tags", { contains: "quick" }), ["small"]);
  assert.deepEqual(await where("tags[1]", "quick"), ["small"]);
  assert.deepEqual(await where("version", { ">": "1.9.9" }), ["large"]);
  assert.deepEqual(namesOf(await module.call("discover", { query: "tournament texts" })), ["large", "small"]);
  assert.deepEqual(await discover({ query: 'text" OR NEAR(' }), ["large", "small"]);
  assert.equal((await module.call("discover", { limit: 1 })).total, 3);
  for (const unknown of [
    { tag: ["x"] },
    { metadata_filter: { a: { "~": 1 } } },
    { metadata_filter: { a: {} } },
    { metadata_filter: { "a.": 1 } },
    { metadata_filter: { "a[": 1 } },
    { metadata_filter: { a: { ">": true } } },
  ])
    await assert.rejects(module.call("discover", unknown), { code: "REQUEST_INVALID" });
});

test("a damaged index is made again", async (t) => {
  const { open, database } = await start(t);
  {
    await using module = await open();
    await module.call("create", { type: "orchestration", name: "one", content: textOf("one") });
  }
  await writeFile(database, "x".repeat(8_192));
  await using module = await open();
  assert.deepEqual(namesOf(await module.call("list", {})), ["one"]);
});

test("performance comes from the events that end runs, each counted once, and is shown over the parent's", async (t) => {
  const { open, commitByHand, log } = await start(t);
  const lineage = "lineage:\n  parent: base@1.0.0\n  reason: to be faster\n";
  const endedWith = (pattern: string, ...scores: (number | undefined)[]) => {
    for (const score of scores)
      log.append({
        id: `run-${log.records.length}`,
        type: score === undefined ? "orchestration:failed" : "orchestration:completed",
        time: new Date().toISOString(),
        source: "orchestration",
        data: { pattern, ...(score === undefined ? {} : { result: { score } }) },
        correlation: "c",
        hops: 0,
      });
  };
  await commitByHand({ "orchestrations/base.yaml": textOf("base"), "orchestrations/fork.yaml": textOf("fork", "1.1.0", lineage) });
  endedWith("base", 0.2, 0.4, undefined);
  {
    await using module = await open();
    endedWith("fork", 0.8, 0.9);
    await until(async () => (await module.call("get", { name: "fork" })).performance?.runs === 2, "the runs of the fork");
  }
  await using module = await open();
  endedWith("fork", 1);
  const { performance } = await until(async () => {
    const found = await module.call("get", { name: "fork" });
    return found.performance?.runs === 3 && found;
  }, "one run more");
  const { mean_score, success_rate, improvement } = performance;
  assert.deepEqual(
    [mean_score.toFixed(3), success_rate, improvement.over, improvement.difference.toFixed(3)],
    ["0.900", 1, "base", "0.700"],
  );
  assert.ok(improvement.interval[0] < 0.7 && improvement.interval[1] > 0.7);
  const base = (await module.call("get", { name: "base" })).performance;
  assert.deepEqual([base.runs, base.success_rate.toFixed(3), base.improvement], [3, "0.667", undefined]);
  assert.deepEqual(namesOf(await module.call("discover", { metadata_filter: { "performance.mean_score": { ">": 0.5 } } })), ["fork"]);
  const { tree, ancestors } = await module.call("lineage", { name: "base" });
  assert.deepEqual(
    [
      ancestors,
      tree.performance.runs,
      tree.children.map(({ name, version, reason }: { name: string; version: string; reason: string }) => [name, version, reason]),
    ],
    [[], 3, [["fork", "1.1.0", "to be faster"]]],
  );
});

test("lineage goes up past a parent that was deleted", async (t) => {
  const { open, commitByHand } = await start(t);
  await using module = await open();
  const commit = "1".repeat(40);
  const from = (parent: string) => `lineage: {parent: "${parent}@1.0.0", commit: "${commit}"}\n`;
  await commitByHand({ "orchestrations/a.yaml": textOf("a"), "orchestrations/b.yaml": textOf("b", "1.0.0", from("a")) });
  await commitByHand({ "orchestrations/c.yaml": textOf("c", "1.0.0", from("b")) });
  await module.call("delete", { name: "b" });
  const { ancestors, tree } = await module.call("lineage", { name: "c" });
  assert.deepEqual(
    ancestors.map(({ name, deleted }: { name: string; deleted?: true }) => [name, deleted]),
    [
      ["b", true],
      ["a", undefined],
    ],
  );
  assert.deepEqual([tree.children, tree.forked_from], [[], { name: "b", version: "1.0.0", commit }]);
  await assert.rejects(module.call("lineage", { name: "nobody" }), { code: "COMPOSITION_NOT_FOUND" });
});

test("select asks the policy about those that meet every requirement, and tells why", async (t) => {
  const { folder, log, commitByHand } = await start(t);
  const asked: { slot: string; context: object; candidates: { id: string; features: Record<string, unknown> }[] }[] = [];
  const policy = (input: (typeof asked)[number]) => {
    asked.push(input);
    return { decision_id: "d1", choice: "b", probability: 0.9, scores: { a: 0.1, b: 0.7, c: 0.3 }, reason: "best so far" };
  };
  await using module = await startModule(composition, { folder, log, handlers: { "policy:select": policy } });
  const files = ["a", "b", "c"].map((name) => [`orchestrations/${name}.yaml`, textOf(name, "1.0.0", "tags: [x]\n")]);
  await commitByHand({ ...Object.fromEntries(files), "orchestrations/d.yaml": textOf("d", "1.0.0", "description: sorts mail\n") });
  const requirements = { tags: ["x"] };
  const answer = await module.call("select", { task: { size: 3 }, requirements });
  assert.deepEqual(
    [answer.choice, answer.probability, answer.runners_up, answer.decision_id],
    [
      "b",
      0.9,
      [
        { name: "c", score: 0.3 },
        { name: "a", score: 0.1 },
      ],
      "d1",
    ],
  );
  assert.match(answer.reason, /best so far; 3 of 4/);
  assert.deepEqual(
    [asked[0]?.slot, asked[0]?.context, asked[0]?.candidates.map(({ id }) => id)],
    ["pattern", { size: 3 }, ["a", "b", "c"]],
  );
  await module.call("select", { task: "sort my mail" });
  assert.ok(Number(asked[1]?.candidates[0]?.features.text_rank) > 0);
  assert.equal(asked[1]?.candidates[0]?.id, "d");
  assert.equal(log.ofType("composition:selected").length, 1);
  for (const input of [
    { task: "x", candidates: ["nobody"] },
    { task: "x", requirements: { tags: ["y"] } },
  ])
    await assert.rejects(module.call("select", input), { code: "COMPOSITION_NOT_FOUND" });
});

test("a list comes in pages that together are the whole", async (t) => {
  const { open, commitByHand } = await start(t);
  const names = ["a", "b", "c", "d", "e"];
  await commitByHand(Object.fromEntries(names.map((name) => [`orchestrations/${name}.yaml`, textOf(name)])));
  await using module = await open();
  const pages: string[][] = [];
  for (let cursor: string | undefined; pages.length === 0 || cursor; ) {
    const page = await module.call("list", { limit: 2, cursor });
    pages.push(namesOf(page));
    cursor = page.cursor;
  }
  assert.deepEqual(pages, [["a", "b"], ["c", "d"], ["e"]]);
});

/** Empties a loose object, as a power failure may. @returns what mends it */
async function emptyObject(folder: string, oid: string) {
  const object = join(folder, ".git/objects", oid.slice(0, 2), oid.slice(2));
  const whole = await readFile(object);
  await chmod(object, 0o644);
  await writeFile(object, "");
  return () => writeFile(object, whole);
}

test("damaged decisions and a damaged pattern: all other decisions are answered, the file is named, and nothing lacks after the mend", async (t) => {
  const { open, folder, database, git } = await start(t);
  const ids: string[] = [];
  {
    await using module = await open();
    for (const name of ["one", "two"]) await module.call("create", { type: "orchestration", name, content: textOf(name) });
    for (const pattern of ["one", "two"])
      ids.push((await module.call("track_decision", { pattern, decision: "before", wait: "commit" })).id);
  }
  for (const suffix of ["", "-wal", "-shm"]) await rm(database + suffix, { force: true });
  const blobs = [await git("rev-parse", "HEAD:orchestrations/two_decisions.yaml"), await git("rev-parse", "HEAD:orchestrations/one.yaml")];
  const mends = await Promise.all(blobs.map((blob) => emptyObject(folder, blob)));
  await using module = await open();
  const page = (pattern: string) => module.call("decisions", { pattern });
  const idsOf = ({ decisions }: { decisions: { id: string }[] }) => decisions.map(({ id }) => id);
  assert.deepEqual([idsOf(await page("one")), (await page("one")).problems], [[ids[0]], undefined]);
  const damaged = await page("two");
  assert.deepEqual(damaged.decisions, []);
  assert.match(damaged.problems[0], new RegExp(`two_decisions\\.yaml: .*${blobs[0]}`));
  assert.deepEqual(namesOf(await module.call("list", { invalid: false })), ["two"]);
  for (const mend of mends) await mend();
  const mended = await until(async () => {
    const found = await page("two");
    return found.problems === undefined && found;
  }, "the mend to be seen");
  assert.deepEqual(idsOf(mended), [ids[1]]);
  assert.deepEqual(namesOf(await module.call("list", { invalid: false })), ["one", "two"]);
});

test("a damaged list of files: what the commit before it says is answered, until it is mended", async (t) => {
  const { open, folder, database, git } = await start(t);
  {
    await using module = await open();
    for (const name of ["one", "two"]) await module.call("create", { type: "orchestration", name, content: textOf(name) });
  }
  for (const suffix of ["", "-wal", "-shm"]) await rm(database + suffix, { force: true });
  const mend = await emptyObject(folder, await git("rev-parse", "HEAD:orchestrations"));
  await using module = await open();
  assert.deepEqual(namesOf(await module.call("list", {})), ["one"]);
  await assert.rejects(module.call("create", { type: "orchestration", name: "three", content: textOf("three") }), {
    code: "REPOSITORY_UNAVAILABLE",
  });
  await mend();
  assert.deepEqual(namesOf(await module.call("list", {})), ["one", "two"]);
});

test("a damaged object is listed as what it is, hides nothing else, and is read once it is mended", async (t) => {
  const { open, folder, git, commitByHand } = await start(t);
  await commitByHand({ "orchestrations/one.yaml": textOf("one"), "orchestrations/two.yaml": textOf("two") });
  const blob = await git("rev-parse", "HEAD:orchestrations/two.yaml");
  const mend = await emptyObject(folder, blob);
  await using module = await open();
  const { compositions } = await module.call("list", {});
  assert.deepEqual(
    compositions.map(({ name, valid }: { name: string; valid: boolean }) => [name, valid]),
    [
      ["one", true],
      ["two", false],
    ],
  );
  assert.match(compositions[1].issues[0].message, new RegExp(blob));
  await mend();
  assert.deepEqual(namesOf(await module.call("list", { invalid: false })), ["one", "two"]);
});
