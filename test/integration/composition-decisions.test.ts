import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as pause, setImmediate as turn } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import composition from "../../modules/composition/index.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { startModule } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const content = "name: demo\ntype: orchestration\nversion: 1.2.0\n";

async function startDemo(t: TestContext, log = new MemoryEventLog()) {
  const folder = await temporaryFolder(t);
  const module = await startModule(composition, { folder, log });
  await module.call("create", { type: "orchestration", name: "demo", content });
  return { module, folder, log, git: gitIn(folder) };
}

type Started = Awaited<ReturnType<typeof startDemo>>["module"];
const track = ({ call }: Started, decision: unknown, more: object = {}) => call("track_decision", { pattern: "demo", decision, ...more });
const idsIn = async ({ call }: Started) =>
  (await call("decisions", { pattern: "demo", limit: 1_000 })).decisions.map(({ id }: { id: string }) => id).reverse();

test("a decision is in git with its trailers, and read back as it was", async (t) => {
  const { module, git, log } = await startDemo(t);
  await using _ = module;
  const decision = {
    pattern: "demo",
    decision: "use: gzip\n# not a comment",
    context: { deep: [{ a: "é\u2028" }], long: "x y ".repeat(50) },
    options: ["a", null, 1.5],
    outcome: true,
    confidence: 0.25,
    reason: "- because",
    run_id: "run-1",
    agent_id: "agent-1",
  };
  const { id, commit } = await module.call("track_decision", { ...decision, wait: "commit" });
  assert.equal(await git("rev-parse", "HEAD"), commit);
  assert.equal(
    await git("log", "-1", "--format=%(trailers:only,unfold)"),
    `Decision-Id: ${id}\nRun: run-1\nAgent: agent-1\nPattern: demo@1.2.0\nEvent: memory/2`,
  );
  assert.equal(await git("log", "-1", "--format=%s"), "decision(demo): use: gzip # not a comment");
  assert.equal(await git("log", "--format=%H", `--grep=Decision-Id: ${id}`), commit);
  const { decisions } = await module.call("decisions", { pattern: "demo" });
  const { pattern: _pattern, run_id: run, agent_id: agent, ...rest } = decision;
  assert.deepEqual(decisions, [{ id, time: decisions[0].time, ...rest, run, agent }]);
  assert.deepEqual(
    log.ofType("composition:decision_recorded").map(({ data }) => data),
    [{ commit, author: "reprise", decisions: [{ id, pattern: "demo" }] }],
  );
  assert.equal(await git("status", "--porcelain"), "");
});

test("the outcome of the last decision is read, and what comes after it", async (t) => {
  const { module } = await startDemo(t);
  await using _ = module;
  for (let count = 1; count <= 3; count++) {
    const { id } = await track(module, "last", { wait: "commit" });
    assert.equal((await idsIn(module)).at(-1), id);
    const [, { id: next }] = await Promise.all([
      module.call("resolve_decision", { id, outcome: "good", wait: "commit" }),
      track(module, "next", { wait: "commit" }),
    ]);
    const { decisions, problems } = await module.call("decisions", { pattern: "demo" });
    assert.deepEqual(
      decisions.slice(0, 2).map((one: { id: string; outcome?: string }) => [one.id, one.outcome]),
      [
        [next, undefined],
        [id, "good"],
      ],
    );
    assert.deepEqual([decisions.length, problems], [2 * count, undefined]);
  }
});

test("1 000 decisions at once share few commits; full segments move on; pages and filters find them", async (t) => {
  const { module, git, log } = await startDemo(t);
  await using _ = module;
  const tracked = await Promise.all(
    Array.from({ length: 1_000 }, (_, number) =>
      track(module, `n ${number}`, { outcome: number % 2 ? "good" : "bad", run_id: `run-${number % 3}` }),
    ),
  );
  const expected = log.ofType("composition:decision_tracked").map(({ id }) => id);
  assert.deepEqual(tracked.map(({ id }) => id).sort(), expected.toSorted());
  await until(async () => (await idsIn(module)).length === 1_000, "1 000 decisions in git");
  assert.deepEqual(await idsIn(module), expected);
  await until(async () => (await git("status", "--porcelain")) === "", "the work tree");
  assert.ok(Number(await git("rev-list", "--count", "HEAD")) < 20);
  const segments = [1, 2, 3, 4].map((number) => `orchestrations/demo_decisions/000${number}.yaml`);
  assert.equal(
    await git("ls-files", "orchestrations"),
    ["orchestrations/demo.yaml", "orchestrations/demo_decisions.yaml", ...segments].join("\n"),
  );
  for (const file of (await git("ls-files", "orchestrations/demo_decisions*")).split("\n")) {
    assert.ok((await readFile(join(module.folder, file), "utf8")).match(/^- id/gm)?.length === 200, file);
  }
  const found: string[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await module.call("decisions", {
      pattern: "demo",
      outcome: "good",
      run_id: "run-1",
      limit: 30,
      ...(cursor && { cursor }),
    });
    found.push(...page.decisions.map(({ decision }: { decision: string }) => decision));
    cursor = page.cursor;
    if (!cursor) break;
  }
  const numbers = log.ofType("composition:decision_tracked").map(({ data }) => Number((data as { decision: string }).decision.slice(2)));
  const wanted = numbers.filter((number) => number % 2 === 1 && number % 3 === 1).map((number) => `n ${number}`);
  assert.deepEqual(found, wanted.reverse());
  assert.equal(await git("fsck", "--strict", "--no-dangling"), "");
});

test("after a restart each decision is in git exactly once, also those that came meanwhile and after a new log", async (t) => {
  const { module, folder, log } = await startDemo(t);
  await track(module, "before", { wait: "commit" });
  const earlier = structuredClone(log.ofType("composition:decision_tracked"));
  await module[Symbol.asyncDispose]();
  const missed = {
    ...(earlier[0] ?? assert.fail()),
    id: "missed",
    data: { ...(earlier[0]?.data as object), id: "missed", decision: "meanwhile" },
  };
  log.append(missed);
  {
    await using again = await startModule(composition, { folder, log });
    await until(async () => (await idsIn(again)).length === 2, "the missed decision");
    assert.deepEqual(await idsIn(again), [earlier[0]?.id, "missed"]);
  }
  const moved = new MemoryEventLog("another-server");
  for (const event of [...earlier, missed]) moved.append(event);
  await using last = await startModule(composition, { folder, log: moved });
  await track(last, "new", { wait: "commit" });
  assert.equal((await idsIn(last)).length, 3);
});

test("an uncommitted edit of the decisions file makes decisions wait, is reported, and nothing is lost", async (t) => {
  const { module, folder, git } = await startDemo(t);
  await using _ = module;
  await track(module, "first", { wait: "commit" });
  const file = join(folder, "orchestrations/demo_decisions.yaml");
  await writeFile(file, `# a note by hand\n${await readFile(file, "utf8")}`);
  await track(module, "second");
  const { waiting } = await until(async () => {
    const reply = await module.call("decisions", { pattern: "demo" });
    return reply.waiting && reply;
  }, "the report");
  assert.deepEqual([waiting.code, /demo_decisions\.yaml/.test(waiting.message)], ["REPOSITORY_CONFLICT", true]);
  // Like any two users of one repository, git and the daemon may find each other's lock; git says so, and one tries again.
  await until(
    () =>
      git("commit", "-q", "-am", "a note").then(
        () => true,
        () => false,
      ),
    "the commit by hand",
  );
  await until(async () => (await idsIn(module)).length === 2, "the second decision");
  assert.match(await readFile(file, "utf8"), /^# a note by hand\n/);
  await until(async () => (await git("status", "--porcelain")) === "", "a clean work tree");
  assert.equal((await module.call("decisions", { pattern: "demo" })).waiting, undefined);
});

test("while git is behind, new decisions are held back a moment, so that the lag stays small", async (t) => {
  const { module, folder } = await startDemo(t);
  await using _ = module;
  const lock = join(folder, ".git/index.lock");
  await writeFile(lock, "");
  await track(module, "at once");
  await pause(250);
  const held = track(module, "held back");
  assert.equal(await Promise.race([held, pause(100, "held")]), "held");
  await held; // the lock is not waited for
  await rm(lock);
  await until(async () => (await idsIn(module)).length === 2, "both in git");
});

test("a decision on no pattern, or one that a file cannot bear, is refused", async (t) => {
  const { module } = await startDemo(t);
  await using _ = module;
  await assert.rejects(module.call("track_decision", { pattern: "none", decision: "x" }), { code: "COMPOSITION_NOT_FOUND" });
  const nested = JSON.parse(`${'{"a":'.repeat(40)}1${"}".repeat(40)}`);
  for (const context of [nested, JSON.parse('{"__proto__": 1}'), "x".repeat(40_000)])
    await assert.rejects(track(module, "x", { context }), { code: "REQUEST_INVALID" });
  await assert.rejects(track(module, "x", { run_id: "a\nEvent: memory/999" }), { code: "REQUEST_INVALID" });
});

test("a repeated request is answered with the commit that has the decision, also while that is being made", async (t) => {
  const { module, log } = await startDemo(t);
  await using _ = module;
  const request = () => module.call("track_decision", { pattern: "demo", decision: "once", wait: "commit" }, { meta: { id: "run/1" } });
  const [first, second] = await Promise.all([request(), request()]);
  assert.match(first.commit, /^[0-9a-f]{40}$/);
  await track(module, "another", { wait: "commit" });
  assert.deepEqual([second, await request()], [first, first]);
  assert.equal(log.ofType("composition:decision_tracked").length, 2);
  assert.equal((await idsIn(module)).length, 2);
});

test("a wait for a commit that is given up, because the log refuses or the caller leaves, harms nobody", async (t) => {
  const { module, log } = await startDemo(t);
  await using _ = module;
  const append = log.append.bind(log);
  log.append = () => {
    throw new CodedError("EVENT_LOG_UNAVAILABLE", "full");
  };
  const leaving = new AbortController();
  const request = { pattern: "demo", decision: "x", wait: "commit" };
  await assert.rejects(module.call("track_decision", request, { signal: leaving.signal }), { code: "EVENT_LOG_UNAVAILABLE" });
  assert.equal(getEventListeners(leaving.signal, "abort").length, 0);
  leaving.abort(new Error("left"));
  await turn(); // an unhandled rejection would fail the test
  log.append = append;
  await assert.rejects(module.call("track_decision", request, { signal: leaving.signal }), /left/);
  const { signal } = new AbortController();
  assert.match((await module.call("track_decision", request, { signal })).commit, /^[0-9a-f]{40}$/);
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("each commit is told in an event, also where the log refused it at first or the commit's outcome was unknown", async (t) => {
  const { module, log } = await startDemo(t);
  await using _ = module;
  const append = log.append.bind(log);
  let refusals = 2;
  log.append = (event) => {
    if (event.type === "composition:decision_recorded" && refusals-- > 0) throw new CodedError("EVENT_LOG_UNAVAILABLE", "away");
    return append(event);
  };
  const { repository } = module.context;
  const commit = repository.commit.bind(repository);
  const commits = [(await track(module, "refused", { wait: "commit" })).commit];
  await until(() => log.ofType("composition:decision_recorded").length === 1, "the event");
  repository.commit = async (request) => {
    repository.commit = commit;
    await commit(request);
    throw new CodedError("REPOSITORY_UNAVAILABLE", "no answer");
  };
  commits.push((await track(module, "unknown", { wait: "commit" })).commit);
  await until(() => log.ofType("composition:decision_recorded").length === 2, "the other event");
  assert.deepEqual(
    log.ofType("composition:decision_recorded").map(({ data }) => (data as { commit: string }).commit),
    commits,
  );
  assert.equal((await idsIn(module)).length, 2);
});

test("a commit by hand that claims a place in the log keeps no decision from git", async (t) => {
  const { module, folder, git, log } = await startDemo(t);
  const { id } = await track(module, "real", { wait: "commit" });
  await module[Symbol.asyncDispose]();
  const claim = (subject: string, place: string) => `${subject}\n\nDecision-Id: ${id}\nPattern: demo@1.2.0\nEvent: ${place}`;
  const name = ["-c", "user.name=reprise", "-c", "user.email=reprise@localhost"];
  await git(...name, "commit", "-q", "--allow-empty", "-m", "a note\n\nEvent: memory/3");
  await git(...name, "commit", "-q", "--allow-empty", "-m", claim("decision(demo): real", "memory/4"));
  const file = join(folder, "orchestrations/demo_decisions.yaml");
  await writeFile(file, `${await readFile(file, "utf8")}# by hand\n`);
  await git(...name, "commit", "-q", "-a", "-m", claim("decision(demo): real", "memory/999999999"));
  const [event] = log.ofType("composition:decision_tracked");
  for (const meanwhile of ["one", "two"])
    log.append({ ...(event ?? assert.fail()), id: meanwhile, data: { ...(event?.data as object), id: meanwhile } });
  await using again = await startModule(composition, { folder, log });
  await until(async () => (await idsIn(again)).length === 3, "the decisions that came meanwhile");
  assert.deepEqual(await idsIn(again), [id, "one", "two"]);
});

test("the trailers of decisions are refused in the message of a user's commit", async (t) => {
  const { module } = await startDemo(t);
  await using _ = module;
  const { commit } = await module.call("get", { name: "demo" });
  const save = (message: string) => module.call("save", { name: "demo", content: `${content}tags: [a]\n`, based_on: commit, message });
  for (const trailer of ["Event: memory/999999999", "decision-id: x", "Run : y", "Forked-From: z"])
    await assert.rejects(save(`why\n\n${trailer}`), { code: "REQUEST_INVALID", message: /trailers/ });
  await save("Events: many\n\nThe Pattern: told in words");
});

test("a pending decision gets its outcome once, as a later commit that changes one line", async (t) => {
  const { module, git, log, folder } = await startDemo(t);
  await using _ = module;
  const { id } = await track(module, "use gzip", { context: { size: 3 }, run_id: "run-1" });
  const { id: other } = await track(module, "another", { wait: "commit" });
  const { commit, pattern } = await module.call("resolve_decision", { id, outcome: { saved: 0.4 }, reason: "measured", wait: "commit" });
  assert.deepEqual([pattern, await git("rev-parse", "HEAD")], ["demo", commit]);
  assert.equal(await git("log", "-1", "--format=%s"), 'decision(demo): outcome {"saved":0.4}');
  assert.match(
    await git("log", "-1", "--format=%b"),
    new RegExp(`^Decision-Id: ${id}\nRun: run-1\nPattern: demo@1.2.0\nOutcome: {"saved":0.4}\nEvent: memory/\\d+$`),
  );
  assert.match(await git("diff", "-U0", "HEAD~1"), /^\+ {2}outcome: {"saved":0.4}$/m);
  assert.equal((await git("diff", "--numstat", "HEAD~1")).split("\t")[0], "1");
  assert.equal((await git("log", "--format=%H", `--grep=Decision-Id: ${id}`)).split("\n").length, 2);
  const { decisions } = await module.call("decisions", { pattern: "demo" });
  assert.deepEqual(
    decisions.map(({ id: each, outcome }: { id: string; outcome: unknown }) => [each, outcome]),
    [
      [other, undefined],
      [id, { saved: 0.4 }],
    ],
  );
  const recorded = await until(
    () => log.ofType("composition:decision_recorded").find(({ data }) => (data as { commit: string }).commit === commit),
    "the event",
  );
  assert.deepEqual((recorded.data as { decisions: object[] }).decisions, [{ id, pattern: "demo", resolved: true }]);
  await assert.rejects(module.call("resolve_decision", { id, outcome: "bad" }), { code: "DECISION_RESOLVED" });
  await assert.rejects(module.call("resolve_decision", { id: "nobody", outcome: "bad" }), { code: "DECISION_NOT_FOUND" });
  await assert.rejects(module.call("resolve_decision", { id: other, outcome: "x".repeat(3_000) }), { code: "REQUEST_INVALID" });
  const file = join(folder, "orchestrations/demo_decisions.yaml");
  await until(async () => (await git("status", "--porcelain")) === "", "the work tree");
  await writeFile(file, `# mine\n- {id: hand, time: "2026-01-01T00:00:00Z", decision: x}   # kept\n${await readFile(file, "utf8")}`);
  await git("commit", "-q", "-am", "by hand");
  await module.call("resolve_decision", { id: "hand", outcome: "good", wait: "commit" });
  assert.match(await git("show", "HEAD:orchestrations/demo_decisions.yaml"), /^# mine\n- .*outcome: "?good"?.* {3}# kept\n- id: /);
});

test("an outcome finds its decision on the way, in a full segment, and after a restart; of two at once one is refused", async (t) => {
  const { module, folder, log } = await startDemo(t);
  const first = await track(module, "first");
  const outcomes = await Promise.allSettled(
    ["good", "bad"].map((outcome) => module.call("resolve_decision", { id: first.id, outcome, wait: "commit" })),
  );
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const many = await Promise.all(Array.from({ length: 450 }, (_, number) => track(module, `n ${number}`)));
  await until(async () => (await idsIn(module)).length === 451, "the decisions");
  await Promise.all(many.slice(0, 220).map(({ id }) => module.call("resolve_decision", { id, outcome: "good" })));
  await module[Symbol.asyncDispose]();
  await using again = await startModule(composition, { folder, log });
  const good = () => again.call("decisions", { pattern: "demo", outcome: "good", limit: 1_000 });
  await until(async () => (await good()).decisions.length >= 220, "the outcomes");
  const { decisions } = await again.call("decisions", { pattern: "demo", limit: 1_000 });
  assert.equal(decisions.length, 451);
  const resolved = new Set(many.slice(0, 220).map(({ id }) => id));
  for (const { id, outcome } of decisions) if (id !== first.id) assert.equal(outcome, resolved.has(id) ? "good" : undefined);
});

test("verify tells where the log and git differ, and repair adds what git lacks", async (t) => {
  const { module, folder, git } = await startDemo(t);
  await using _ = module;
  const ids: string[] = [];
  for (const decision of ["lost", "kept", "changed"]) ids.push((await track(module, decision, { wait: "commit" })).id);
  await module.call("resolve_decision", { id: ids[1], outcome: "good", wait: "commit" });
  const { agree, objects } = await module.call("verify", {});
  assert.deepEqual([agree, objects.problems, objects.read > 10], [true, [], true]);
  await until(async () => (await git("status", "--porcelain")) === "", "the work tree");
  const file = join(folder, "orchestrations/demo_decisions.yaml");
  const [, second = "", third = ""] = (await readFile(file, "utf8")).split(/^(?=- )/m);
  const forged = '- {id: forged, time: "2999-01-01T00:00:00Z", decision: x}\n';
  await writeFile(file, `${second.replace(/ {2}outcome: .*\n/, "")}${third.replace("changed", "other")}${forged}${forged}`);
  await git("commit", "-q", "-am", "by hand");
  const found = await module.call("verify", { repair: true });
  assert.deepEqual(
    [found.agree, found.missing, found.pending, found.different, found.duplicated, found.unlogged],
    [false, [ids[0]], [ids[1]], [ids[2]], ["forged"], ["forged"]],
  );
  const after = await module.call("verify", {});
  assert.deepEqual([after.missing, after.pending, found.commits.includes(await git("rev-parse", "HEAD"))], [[], [], true]);
  await track(module, "more", { wait: "commit" });
  assert.equal((await idsIn(module)).length, 6);
});

test("an insight is added to the learnings, and nothing else in the text changes; many at once are all kept", async (t) => {
  const { module, log } = await startDemo(t);
  await using _ = module;
  const { commit } = await module.call("get", { name: "demo" });
  const text = `${content}# about us\nlearnings:\n  - "old"   # kept\nzone: {a: 1}\n`;
  await module.call("save", { name: "demo", content: text, based_on: commit });
  const learn = (insight: string) => module.call("learn", { pattern: "demo", insight, confidence: 0.8, evidence: ["run-1"] });
  assert.equal((await learn("Event: small texts need no second round")).learnings, 2);
  const read = await module.call("get", { name: "demo" });
  assert.ok(
    read.content.startsWith(`${content}# about us\nlearnings:\n  - "old"   # kept\n  - `) && read.content.endsWith("\nzone: {a: 1}\n"),
    read.content,
  );
  const { time, ...learning } = read.data.learnings[1];
  assert.deepEqual(learning, { insight: "Event: small texts need no second round", confidence: 0.8, evidence: ["run-1"] });
  await Promise.all(["a", "b", "c"].map(learn));
  assert.equal((await module.call("get", { name: "demo" })).data.learnings.length, 5);
  assert.equal(log.ofType("composition:learned").length, 4);
  assert.match(time, /^\d{4}-/);
});
