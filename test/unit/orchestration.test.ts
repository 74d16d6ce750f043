import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import type { EventRecord } from "../../daemon/module.ts";
import { readYaml } from "../../daemon/yaml.ts";
import orchestration from "../../modules/orchestration/index.ts";
import { defaultLimits } from "../../modules/orchestration/interpreter/limits.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import {
  createJournal,
  createObjectStore,
  createStateStore,
  startModule,
  type TestHandler,
  type TestOptions,
} from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const compositions = (
  patterns: Record<string, string | { capabilities?: string[]; strategy: string; variables?: object; strict?: boolean }>,
): TestHandler =>
  ((input: { name: string; commit?: string }) => {
    const found = patterns[input.name];
    if (found === undefined) throw new CodedError("COMPOSITION_NOT_FOUND", input.name);
    const { strategy, strict, ...fields } = typeof found === "string" ? { strategy: found } : found;
    return {
      name: input.name,
      type: "orchestration",
      version: "1.0.0",
      commit: "c1",
      content: "",
      data: { name: input.name, ...fields, orchestration_logic: { strategy, strict } },
    };
  }) as TestHandler;

const start = (patterns: Parameters<typeof compositions>[0], options: TestOptions = {}) =>
  startModule(orchestration, {
    ...options,
    handlers: { "composition:render": compositions(patterns), "event:emit": () => ({ status: "emitted" }), ...options.handlers },
  });

const typesIn = (log: MemoryEventLog) => log.records.map(({ type }) => type);

test("a run goes from start to its result, and says so in events", async () => {
  await using module = await start({
    greet: { strategy: 'EMIT "hello:said" WITH {name} AS said\nRETURN {name}', variables: { name: "nobody" } },
  });
  const { run_id, state } = await module.call("orchestration:start", { pattern: "greet", inputs: { name: "Ada" } });
  assert.equal(state, "running");
  const status = await module.call("orchestration:status", { run_id, wait: 5 });
  assert.equal(status.state, "completed");
  assert.deepEqual(status.result, { name: "Ada" });
  assert.equal(status.steps, 1);
  assert.equal(status.commit, "c1");
  assert.deepEqual(
    typesIn(module.log).filter((type) => type !== "orchestration:progressed"),
    ["orchestration:started", "orchestration:completed"],
  );
  const { entries } = await module.call("orchestration:journal", { run_id });
  assert.deepEqual(
    entries.map(({ type }: { type: string }) => type),
    ["started", "ended"],
  );
  const [{ intents, results }] = entries.slice(-1);
  assert.deepEqual([intents[0].effect.event, results[0].value], ["hello:said", { status: "emitted" }]);
});

test("effects are done in the name of the agent, with what profile, pattern, caller and request all allow", async () => {
  const seen: unknown[] = [];
  await using module = await start(
    { greet: { strategy: 'EMIT "hello:said"', capabilities: ["event:emit", "agent:spawn"] } },
    { handlers: { "event:emit": ((input: object, options: object) => seen.push({ ...input, ...options }) && {}) as TestHandler } },
  );
  const { run_id } = await module.call(
    "orchestration:start",
    { pattern: "greet", agent_id: "A1", capabilities: ["emit:hello:*", "composition:get"] },
    { caller: { kind: "client", id: "c", capabilities: ["*"] } },
  );
  await module.call("orchestration:status", { run_id, wait: 5 });
  const [emit] = seen as { id: string; caller: object; cause: { run: string; agent: string; causation: string } }[];
  assert.deepEqual(emit?.caller, { kind: "agent", id: "A1", capabilities: ["emit:hello:*"] });
  assert.equal(emit?.id, `${run_id}/1`);
  assert.equal(emit?.cause.run, run_id);
  assert.equal(emit?.cause.agent, "A1");
  assert.equal(emit?.cause.causation, `${run_id}/started`);
});

test("a failed run tells code, message and line's details", async () => {
  await using module = await start({ hopeless: "ABORT 'no use'" });
  const { run_id } = await module.call("orchestration:start", { pattern: "hopeless" });
  const { state, error } = await module.call("orchestration:status", { run_id, wait: 5 });
  assert.equal(state, "failed");
  assert.deepEqual(error, { code: "RUN_ABORTED", message: "no use", details: { line: 1 } });
  assert.equal(typesIn(module.log).at(-1), "orchestration:failed");
});

test("warnings are errors in a strict pattern; in others they are told once, in the daemon's log", async (t) => {
  await using module = await start({ strict: { strategy: 'EMITT "a:b"', strict: true }, loose: 'EMITT "a:b"' });
  await assert.rejects(module.call("orchestration:start", { pattern: "strict" }), { code: "PATTERN_INVALID" });
  const warn = t.mock.method(module.context.log, "warn");
  for (let run = 0; run < 2; run++) await module.call("orchestration:start", { pattern: "loose" });
  const told = warn.mock.calls.map(({ arguments: [about] }) => about as unknown as { pattern: string; warnings: { line: number }[] });
  assert.deepEqual(
    told.map(({ pattern, warnings }) => [pattern, warnings.map(({ line }) => line)]),
    [["loose", [1]]],
  );
  const content = 'name: top\ntype: orchestration\nstrict: true\norchestration_logic:\n  strategy: EMITT "a:b"\n';
  const { problems } = await module.call("orchestration:explain", { content });
  assert.equal(problems.length, 1, "it may also stand at the top");
});

test("an interpreter that thinks needs a model, and the error says what to do", async () => {
  await using module = await start({ greet: "RETURN 1" }, { handlers: { "model:list": () => ({ models: [] }) } });
  const starting = module.call("orchestration:start", { pattern: "greet", interpreter: "hybrid" });
  await assert.rejects(starting, { code: "MODEL_NOT_CONFIGURED", message: /section "models" of reprise.yaml/ });
});

const never = () => new Promise<never>(() => {});

test("a run is cancelled while its tool hangs", async () => {
  await using module = await start({ hangs: 'RUN "slow"' }, { handlers: { "tool:call": never } });
  const { run_id } = await module.call("orchestration:start", { pattern: "hangs" });
  assert.equal((await module.call("orchestration:cancel", { run_id })).state, "cancelled");
  assert.equal((await module.call("orchestration:status", { run_id })).state, "cancelled");
  assert.equal(typesIn(module.log).at(-1), "orchestration:cancelled");
});

test("a run ends at its limit of seconds, and names it", async () => {
  await using module = await start({ hangs: 'RUN "slow"' }, { handlers: { "tool:call": never } });
  const { run_id } = await module.call("orchestration:start", { pattern: "hangs", budget: { seconds: 0.05 } });
  const { state, error } = await module.call("orchestration:status", { run_id, wait: 5 });
  assert.equal(state, "failed");
  assert.equal(error.code, "RUN_LIMIT_EXCEEDED");
  assert.equal(error.details.limit, "seconds");
});

test("a run that starts a run that starts a run ends at the limit of depth", async () => {
  await using module = await start({
    again:
      'CALL "orchestration:start" WITH {pattern: "again", budget: {depth: 3}} AS child\nCALL "orchestration:status" WITH {run_id: child.run_id, wait: 5} AS child\nRETURN child',
  });
  const { run_id } = await module.call("orchestration:start", { pattern: "again", budget: { depth: 3 } });
  const first = await module.call("orchestration:status", { run_id, wait: 10 });
  const third = first.result.result;
  assert.equal(third.depth, 3);
  assert.equal(third.error.code, "RUN_LIMIT_EXCEEDED");
  assert.equal(third.error.details.limit, "depth");
});

test("a run that was open when the daemon stopped goes on where it was after the restart", async () => {
  const shared = { state: createStateStore(), journal: createJournal() };
  const calls: string[] = [];
  const patterns = { work: 'RUN "one" AS one\nRUN "two" AS two\nRETURN {one, two}' };
  const tools = (second: () => unknown): TestOptions["handlers"] => ({
    "tool:list": () => ({ tools: [] }),
    "tool:call": (({ name, idempotency_key }: { name: string; idempotency_key: string }) => {
      calls.push(`${name} ${idempotency_key.split("/")[1]}`);
      return name === "two" ? second() : { result: 1 };
    }) as TestHandler,
  });
  const first = await start(patterns, { ...shared, handlers: tools(never) });
  const { run_id } = await first.call("orchestration:start", { pattern: "work" });
  while (calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
  await first[Symbol.asyncDispose]();
  await using second = await start(patterns, { ...shared, log: first.log, handlers: tools(() => ({ result: 2 })) });
  assert.deepEqual((await second.call("orchestration:status", { run_id, wait: 5 })).result, { one: 1, two: 2 });
  assert.deepEqual(calls, ["one 1", "two 2", "two 2"]);
});

test("a run can be cancelled while it is being resumed", async () => {
  const shared = { state: createStateStore(), journal: createJournal() };
  const first = await start({ hangs: 'RUN "slow"' }, { ...shared, handlers: { "tool:call": never } });
  const { run_id } = await first.call("orchestration:start", { pattern: "hangs" });
  await first[Symbol.asyncDispose]();
  await using second = await start(
    { hangs: 'RUN "slow"' },
    { ...shared, log: first.log, handlers: { "tool:call": never, "tool:list": () => ({ tools: [] }) } },
  );
  assert.equal((await second.call("orchestration:cancel", { run_id })).state, "cancelled");
});

test("a run whose end was recorded and not announced is announced after the restart", async () => {
  const shared = { state: createStateStore(), journal: createJournal() };
  const first = await start({ quick: "RETURN 1" }, shared);
  const { run_id } = await first.call("orchestration:start", { pattern: "quick" });
  await first.call("orchestration:status", { run_id, wait: 5 });
  await first[Symbol.asyncDispose]();
  const log = new MemoryEventLog();
  log.append(first.log.records[0] as EventRecord);
  await using second = await start({}, { ...shared, log });
  assert.equal((await second.call("orchestration:status", { run_id, wait: 5 })).state, "completed");
  while ((await second.call("orchestration:list", { state: "running" })).runs.length > 0)
    await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(typesIn(log), ["orchestration:started", "orchestration:completed"]);
});

test("a run whose end was told and not written has its last entry written when its journal is read", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "reprise-runs-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const shared = { state: createStateStore(), objects: createObjectStore(), database: join(folder, "runs.sqlite") };
  const whole = createJournal();
  const first = await start({ quick: 'EMIT "a:b"\nRETURN 1' }, { ...shared, journal: whole });
  const { run_id } = await first.call("orchestration:start", { pattern: "quick" });
  await first.call("orchestration:status", { run_id, wait: 5 });
  await first.call("orchestration:journal", { run_id });
  await first[Symbol.asyncDispose]();
  const cut = createJournal();
  const entries = await whole.read<{ type: string }>(run_id);
  for (const [index, entry] of entries.slice(0, -1).entries()) await cut.append(run_id, index, entry);
  await using second = await start({}, { ...shared, log: first.log, journal: cut });
  const types = async () => (await second.call("orchestration:journal", { run_id })).entries.map(({ type }: { type: string }) => type);
  await until(async () => (await second.call("orchestration:list", {})).runs[0]?.state === "completed", "the end to be known");
  assert.deepEqual((await types()).slice(-1), ["ended"]);
  assert.equal((await types()).filter((type: string) => type === "ended").length, 1);
  assert.deepEqual((await cut.read<{ type: string }>(run_id)).at(-1)?.type, "ended");
});

test("a run whose pattern is gone after a restart fails, and holds up no other run", async () => {
  const shared = { state: createStateStore(), journal: createJournal() };
  const first = await start({ gone: 'RUN "slow"', kept: 'RUN "slow"' }, { ...shared, handlers: { "tool:call": never } });
  const { run_id: gone } = await first.call("orchestration:start", { pattern: "gone" });
  const { run_id: kept } = await first.call("orchestration:start", { pattern: "kept" });
  await first[Symbol.asyncDispose]();
  await using second = await start(
    { kept: 'RUN "slow"' },
    { ...shared, log: first.log, handlers: { "tool:list": () => ({ tools: [] }), "tool:call": () => ({}) } },
  );
  while ((await second.call("orchestration:list", { state: "running" })).runs.length > 0)
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await second.call("orchestration:status", { run_id: gone })).error.code, "COMPOSITION_NOT_FOUND");
  assert.equal((await second.call("orchestration:status", { run_id: kept })).state, "completed");
});

test("list filters runs by state and pattern, the latest first", async () => {
  await using module = await start({ quick: "RETURN 1", hangs: 'RUN "slow"' }, { handlers: { "tool:call": never } });
  const { run_id: one } = await module.call("orchestration:start", { pattern: "quick" });
  await module.call("orchestration:status", { run_id: one, wait: 5 });
  const { run_id: two } = await module.call("orchestration:start", { pattern: "hangs" });
  const ids = async (filter: object) =>
    (await module.call("orchestration:list", filter)).runs.map(({ run_id }: { run_id: string }) => run_id);
  assert.deepEqual(await ids({}), [two, one]);
  assert.deepEqual(await ids({ state: "running" }), [two]);
  assert.deepEqual(await ids({ pattern: "quick" }), [one]);
});

test("an unknown run is RUN_NOT_FOUND, a profile is no pattern", async () => {
  await using module = await start(
    {},
    { handlers: { "composition:render": () => ({ name: "p", type: "profile", version: "1", commit: "c", data: {} }) } },
  );
  await assert.rejects(module.call("orchestration:status", { run_id: "nobody" }), { code: "RUN_NOT_FOUND" });
  await assert.rejects(module.call("orchestration:start", { pattern: "p" }), { code: "PATTERN_INVALID" });
});

test("the shipped pattern is playable without a warning and declares what it needs", async () => {
  const content = await readFile(new URL("../../compositions/orchestrations/compression_tournament.yaml", import.meta.url), "utf8");
  const tools = ["list_files", "profile_file", "compress"].map((name) => ({ name }));
  await using module = await start({}, { handlers: { "tool:list": () => ({ tools }) } });
  const explained = await module.call("orchestration:explain", { content });
  assert.deepEqual([explained.uncovered, explained.unknown], [[], []]);
  assert.deepEqual(explained.warnings, []);
  assert.equal(explained.playable, true);
  assert.deepEqual(explained.slots, ["compression"]);
  assert.deepEqual(explained.tools, ["list_files", "profile_file", "compress"]);
  assert.equal(explained.judgement_points.length, 3);
  const declared = (readYaml(content).data as { capabilities: string[] }).capabilities;
  assert.deepEqual(
    explained.capabilities.filter((one: string) => !one.startsWith("emit:compression:")).sort(),
    declared.filter((one) => one !== "emit:compression:*").sort(),
  );
});

test("what its own capabilities leave out is named, and what is not there", async () => {
  const handlers = { "tool:list": () => ({ tools: [{ name: "there" }] }) };
  await using module = await start({}, { handlers });
  const strategy =
    'RUN "there"\nRUN "theer"\nRUN "{{chosen}}"\nEMIT "{{some}}:thing"\nCALL "event:quary"\nEMIT "a:b"\nCHOOSE lamp FROM ["red"]';
  const pattern = { name: "p", type: "orchestration", version: "1.0.0", orchestration_logic: { strategy } };
  const explained = (more: object) => module.call("orchestration:explain", { content: JSON.stringify({ ...pattern, ...more }) });
  const { uncovered, unknown } = await explained({ capabilities: ["tool:*", "emit:a:*"] });
  assert.deepEqual(unknown, ["theer", "event:quary"]);
  assert.deepEqual(uncovered, ["event:quary", "policy:select"]);
  assert.deepEqual((await explained({})).uncovered, []);
});

test("what patterns within a pattern need is counted, and those that cannot be read are named", async () => {
  await using module = await start({
    outer: { strategy: 'INCLUDE "inner" IF deep\nCOMBINE "inner" WITH "gone"\nINCLUDE "{{chosen}}"\nEMIT "a:b"' },
    inner: { strategy: 'INCLUDE "innermost"\nRUN "t"' },
    innermost: { strategy: 'INCLUDE "outer"\nASK "Well?" AS x\nCALL "event:dead"' },
  });
  const { capabilities, includes, patterns } = await module.call("orchestration:explain", { pattern: "outer" });
  assert.deepEqual(capabilities, ["approval:request", "emit:a:b", "event:dead", "tool:t"]);
  assert.deepEqual(includes, ["gone", "{{chosen}}"]);
  assert.deepEqual(patterns, ["inner", "gone", "{{chosen}}"]);
});

test("the shipped pattern plays: every file has its choice, outcome and decision; a file that fails is skipped", async () => {
  const content = await readFile(new URL("../../compositions/orchestrations/compression_tournament.yaml", import.meta.url), "utf8");
  const calls: { command: string; input: Record<string, unknown> }[] = [];
  const note = (command: string, answer: (input: never) => unknown): TestHandler =>
    ((input: never) => {
      calls.push({ command, input });
      return answer(input);
    }) as TestHandler;
  const data = readYaml(content).data;
  await using module = await startModule(orchestration, {
    handlers: {
      "composition:render": () => ({ name: "compression_tournament", type: "orchestration", version: "1.0.0", commit: "c", content, data }),
      "event:emit": note("emit", () => ({ status: "emitted", id: "e" })),
      "policy:select": note("select", () => ({ decision_id: "d", choice: "zstd-3", probability: 0.5 })),
      "policy:outcome": note("outcome", () => ({ joined: true })),
      "composition:track_decision": note("track", () => ({ id: "t" })),
      "tool:call": note("tool", ({ name, arguments: given }: { name: string; arguments: { path: string } }) => {
        if (name === "list_files")
          return { result: { files: ["a.ts", "bad", "c.ts"].map((path) => ({ path, size: 9, extension: "ts" })), skipped: 0 } };
        if (given.path === "bad") throw new CodedError("TOOL_FAILED", "gone");
        if (name === "profile_file")
          return { result: { extension: "ts", size: 9, magnitude: 0.333, entropy: 4.1, sample_saved_share: 0.2 } };
        return { result: { method: "zstd-3", original_bytes: 100, compressed_bytes: 40, saved_share: 0.6, milliseconds: 20 } };
      }),
    },
  });
  const { run_id } = await module.call("orchestration:start", { pattern: "compression_tournament", inputs: { directory: "/d" } });
  const { state, result, error } = await module.call("orchestration:status", { run_id, wait: 5 });
  assert.equal(state, "completed", JSON.stringify(error));
  assert.deepEqual(
    result.files.map(({ path, method, reward }: { path: string; method: string; reward: number }) => [path, method, reward]),
    [
      ["a.ts", "zstd-3", 0.5],
      ["c.ts", "zstd-3", 0.5],
    ],
  );
  assert.deepEqual(result.skipped, [{ path: "bad", reason: "gone" }]);
  assert.equal(result.compressed_bytes, 80);
  const inputsOf = (command: string) => calls.filter((call) => call.command === command).map(({ input }) => input);
  assert.deepEqual(inputsOf("outcome"), [
    { decision_id: "d", reward: 0.5 },
    { decision_id: "d", reward: 0.5 },
  ]);
  const [tracked] = inputsOf("track");
  assert.equal(tracked?.decision, "zstd-3 for a.ts");
  assert.equal(tracked?.confidence, 0.5);
  assert.deepEqual(tracked?.outcome, { saved_share: 0.6, milliseconds: 20, reward: 0.5 });
  assert.deepEqual(
    inputsOf("emit").map(({ event }) => event),
    ["compression:started", "compression:file_skipped", "compression:finished"],
  );
});

test("a run whose start cannot be told is refused and does not go on", async () => {
  await using module = await start({ hangs: 'RUN "slow"' }, { handlers: { "tool:call": never } });
  const append = module.log.append.bind(module.log);
  module.log.append = (event) => {
    if (event.type === "orchestration:started") throw new CodedError("EVENT_HOPS_EXCEEDED", "too many");
    return append(event);
  };
  await assert.rejects(module.call("orchestration:start", { pattern: "hangs" }), { code: "EVENT_HOPS_EXCEEDED" });
  while (typesIn(module.log).length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(typesIn(module.log), ["orchestration:cancelled"]);
});

test("a resumed run repeats what its command declares as a read, and plain events; any other command stops it, whatever its name", async () => {
  const resumedWith = async (strategy: string, handlers: TestOptions["handlers"]) => {
    const shared = { state: createStateStore(), journal: createJournal() };
    let calls = 0;
    const name = Object.keys(handlers ?? {})[0] as string;
    const slow = (() => {
      calls++;
      return never();
    }) as TestHandler;
    const first = await start({ asks: strategy }, { ...shared, handlers: { ...handlers, [name]: slow } });
    const { run_id } = await first.call("orchestration:start", { pattern: "asks" });
    // A read leaves no intent behind, so there is nothing to be unsure of; what is no read is interrupted in the middle.
    while (calls === 0) await new Promise((resolve) => setImmediate(resolve));
    await first[Symbol.asyncDispose]();
    await using second = await start({ asks: strategy }, { ...shared, log: first.log, handlers, reads: ["scale:measure"] });
    const { state, error } = await second.call("orchestration:status", { run_id, wait: 5 });
    return error?.code ?? state;
  };
  assert.equal(await resumedWith('CALL "scale:measure"', { "scale:measure": () => ({}) }), "completed");
  assert.equal(await resumedWith('EMIT "scale:measure"', { "event:emit": () => ({}), "scale:measure": () => ({}) }), "completed");
  assert.equal(await resumedWith('EMIT "scale:measured"', { "event:emit": () => ({}) }), "completed");
  assert.equal(await resumedWith('CALL "scale:get"', { "scale:get": () => ({}) }), "STEP_OUTCOME_UNKNOWN");
  assert.equal(await resumedWith('EMIT "scale:get"', { "event:emit": () => ({}), "scale:get": () => ({}) }), "STEP_OUTCOME_UNKNOWN");
});

test("the end of a run is told once the log takes it again, without a restart", async () => {
  await using module = await start({ quick: "RETURN 1" });
  const append = module.log.append.bind(module.log);
  let refused = 0;
  module.log.append = (event) => {
    if (event.type === "orchestration:completed" && ++refused < 3) throw new CodedError("EVENT_LOG_UNAVAILABLE", "away");
    return append(event);
  };
  const { run_id } = await module.call("orchestration:start", { pattern: "quick" });
  assert.equal((await module.call("orchestration:status", { run_id, wait: 5 })).state, "completed");
  assert.deepEqual(typesIn(module.log), ["orchestration:started", "orchestration:completed"]);
  assert.deepEqual((await module.call("orchestration:list", { state: "running" })).runs, []);
});

test("what a run starts gets at most what the run has left; what an agent starts, at most the defaults", async () => {
  await using module = await start(
    {
      parent: 'RUN "one"\nCALL "orchestration:start" WITH {pattern: "child", budget: {steps: 90000, seconds: 90000, depth: 16}}',
      spent: 'RUN "one"\nCALL "orchestration:start" WITH {pattern: "child"}',
      child: "RETURN 1",
    },
    { handlers: { "tool:call": () => ({}) } },
  );
  const limitsOf = (pattern: string) =>
    module.log
      .ofType("orchestration:started")
      .map(({ data }) => data as { pattern: string; limits: { steps: number; seconds: number; depth: number } })
      .findLast((data) => data.pattern === pattern)?.limits ?? assert.fail();
  const play = async (pattern: string, budget: object, as?: Parameters<typeof module.call>[2]) => {
    const { run_id } = await module.call("orchestration:start", { pattern, budget }, as);
    return module.call("orchestration:status", { run_id, wait: 5 });
  };
  const much = { steps: 20_000, seconds: 1_200, depth: 5 };
  await play("parent", much);
  assert.deepEqual(limitsOf("parent"), { ...defaultLimits, ...much });
  const child = limitsOf("child");
  assert.deepEqual([child.steps, child.depth], [much.steps - 2, much.depth]);
  assert.ok(child.seconds <= much.seconds && child.seconds > much.seconds - 60, String(child.seconds));
  assert.deepEqual((await play("spent", { steps: 2 })).error?.details, { limit: "steps", allowed: 2, line: 2 });
  await play("child", { steps: 90_000, seconds: 5 }, { caller: { kind: "agent", id: "without a run" } });
  assert.deepEqual(limitsOf("child"), { ...defaultLimits, seconds: 5 });
});
