import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import orchestration from "../../modules/orchestration/index.ts";
import {
  createJournal,
  createObjectStore,
  createStateStore,
  startModule,
  type TestHandler,
  type TestOptions,
} from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const never = () => new Promise<never>(() => {});

const compositions = (strategies: Record<string, string>): TestHandler =>
  (({ name }: { name: string }) => {
    const strategy = strategies[name];
    if (strategy === undefined) throw new CodedError("COMPOSITION_NOT_FOUND", name);
    return { name, type: "orchestration", version: "1.0.0", commit: "c1", data: { name, orchestration_logic: { strategy } } };
  }) as TestHandler;

const start = (strategies: Record<string, string>, { handlers, ...options }: TestOptions = {}) =>
  startModule(orchestration, {
    ...options,
    handlers: {
      "composition:render": compositions(strategies),
      "event:emit": () => ({ status: "emitted" }),
      "tool:list": () => ({ tools: [] }),
      ...handlers,
    },
  });

/** What survives a restart. */
const survivors = () => ({ state: createStateStore(), journal: createJournal(), objects: createObjectStore() });

const tools = (answer: (name: string, key: string) => unknown): NonNullable<TestOptions["handlers"]> => ({
  "tool:call": (({ name, idempotency_key }: { name: string; idempotency_key: string }) => answer(name, idempotency_key)) as TestHandler,
});

const isAt = async (module: Awaited<ReturnType<typeof start>>, run_id: string, what: string) =>
  until(async () => {
    const { doing = [] } = await module.call("orchestration:status", { run_id });
    return doing.some((one: { what: string }) => one.what.includes(what));
  }, `the run to be at ${what}`);

describe("a run", () => {
  it("tells what it does now, and at which line", async () => {
    await using module = await start({ hangs: 'EMIT "a:b"\nRUN "slow"' }, { handlers: tools(never) });
    const { run_id } = await module.call("orchestration:start", { pattern: "hangs" });
    await isAt(module, run_id, "RUN slow");
    const { doing, steps } = await module.call("orchestration:status", { run_id });
    assert.deepEqual([doing[0].line, doing[0].step, steps], [2, "2", 1]);
  });

  it("that is paused finishes the step under way, begins no other, and goes on after resuming, also after a restart", async () => {
    const calls: string[] = [];
    const shared = survivors();
    let finish = () => {};
    const handlers = tools((name) => {
      calls.push(name);
      if (name === "one" && calls.length === 1) return new Promise((resolve) => (finish = () => resolve({ result: 1 })));
      return { result: name };
    });
    const first = await start({ work: 'RUN "one" AS one\nRUN "two" AS two\nRETURN {one, two}' }, { ...shared, handlers });
    const { run_id } = await first.call("orchestration:start", { pattern: "work" });
    await isAt(first, run_id, "RUN one");
    const pausing = first.call("orchestration:pause", { run_id });
    await until(async () => (await first.call("orchestration:status", { run_id })).pausing, "the run to pause");
    finish();
    assert.equal((await pausing).state, "paused");
    assert.deepEqual((await first.call("orchestration:list", { state: "paused" })).runs.length, 1);
    await first[Symbol.asyncDispose]();

    await using second = await start({ work: "RETURN 'changed meanwhile'" }, { ...shared, log: first.log, handlers });
    assert.equal((await second.call("orchestration:status", { run_id })).state, "paused");
    await second.call("orchestration:list", {});
    await until(async () => (await second.call("orchestration:resume", { run_id })).state !== "paused", "the run to be resumed");
    assert.deepEqual((await second.call("orchestration:status", { run_id, wait: 5 })).result, { one: 1, two: "two" });
    assert.deepEqual(calls, ["one", "two"]);
    assert.deepEqual(
      second.log.ofType("orchestration:*").map(({ type }) => type.split(":")[1]),
      ["started", "paused", "resumed", "completed"],
    );
  });

  it("that waits is paused at once, and waits on after it was resumed; paused, it can be cancelled", async () => {
    await using module = await start({ waits: 'AWAIT "it:came" AS it\nRETURN it' });
    const ids: string[] = [];
    for (let run = 0; run < 2; run++) {
      const { run_id } = await module.call("orchestration:start", { pattern: "waits" });
      await isAt(module, run_id, "it:came");
      assert.equal((await module.call("orchestration:pause", { run_id })).state, "paused");
      ids.push(run_id);
    }
    module.publish("it:came", { x: 1 });
    await module.call("orchestration:resume", { run_id: ids[0] });
    const { state, result } = await module.call("orchestration:status", { run_id: ids[0], wait: 5 });
    assert.deepEqual([state, result], ["completed", { x: 1 }]);
    assert.equal((await module.call("orchestration:cancel", { run_id: ids[1] })).state, "cancelled");
  });

  it("that is paused while it is being resumed is paused after that", async () => {
    await using module = await start({ waits: 'AWAIT "it:came" AS it\nRETURN it' });
    const { run_id } = await module.call("orchestration:start", { pattern: "waits" });
    await isAt(module, run_id, "it:came");
    await module.call("orchestration:pause", { run_id });
    const [, paused] = await Promise.all(["resume", "pause"].map((command) => module.call(`orchestration:${command}`, { run_id })));
    assert.equal(paused.state, "paused");
    assert.equal((await module.call("orchestration:resume", { run_id })).state, "running");
    module.publish("it:came", 1);
    assert.equal((await module.call("orchestration:status", { run_id, wait: 5 })).state, "completed");
  });

  it("is told as it is when whoever waits for its end has waited long enough, and not at its end alone", async () => {
    await using module = await start({ waits: 'AWAIT "it:came" AS it\nRETURN it' });
    const { run_id } = await module.call("orchestration:start", { pattern: "waits" });
    const status = await module.call("orchestration:status", { run_id, wait: 0.2 });
    assert.deepEqual([status.state, status.doing?.length], ["running", 1]);
  });

  it("that is paused in a RACE goes on listening in it after it was resumed", async () => {
    const strategy = `
      STATE ticks = 0
      ON "demo:tick":
        STATE ticks = ticks + 1
      RACE:
        AWAIT "demo:go" AS go
        AWAIT "demo:stop" AS stop
      RETURN {ticks, go}`;
    await using module = await start({ listens: strategy });
    const { run_id } = await module.call("orchestration:start", { pattern: "listens" });
    await isAt(module, run_id, "demo:stop");
    module.publish("demo:tick");
    assert.equal((await module.call("orchestration:pause", { run_id })).state, "paused");
    module.publish("demo:tick");
    await module.call("orchestration:resume", { run_id });
    await isAt(module, run_id, "demo:stop");
    module.publish("demo:tick");
    module.publish("demo:go", { x: 1 });
    const { state, result } = await module.call("orchestration:status", { run_id, wait: 5 });
    assert.deepEqual([state, result], ["completed", { ticks: 3, go: { x: 1 } }]);
  });

  it("takes over another's steps up to one, and does the rest again with new inputs", async () => {
    const calls: string[] = [];
    const handlers = tools((name) => ({ result: calls.push(name) }));
    await using module = await start(
      { work: 'RUN "one" AS one\nRUN "two" AS two\nRUN "three" AS three\nRETURN {one, two, three, who}' },
      { handlers },
    );
    const { run_id: first } = await module.call("orchestration:start", { pattern: "work", inputs: { who: "Ada" } });
    await module.call("orchestration:status", { run_id: first, wait: 5 });
    const { run_id, lineage } = await module.call("orchestration:rerun", { run_id: first, from_step: "2", inputs: { who: "Bob" } });
    assert.deepEqual(lineage, { run_id: first, from_step: "2" });
    const { result, steps } = await module.call("orchestration:status", { run_id, wait: 5 });
    assert.deepEqual([result, steps], [{ one: 1, two: 4, three: 5, who: "Bob" }, 3]);
    assert.deepEqual(calls, ["one", "two", "three", "two", "three"]);
    await assert.rejects(module.call("orchestration:rerun", { run_id: "nobody", from_step: "1" }), { code: "RUN_NOT_FOUND" });
    await assert.rejects(module.call("orchestration:rerun", { run_id: first, from_step: "99.9" }), { code: "REQUEST_INVALID" });
  });

  it("tells each of its steps once: what was to be done, what came of it, and what it cost", async () => {
    const handlers = {
      ...tools((name) => (name === "bad" ? Promise.reject(new CodedError("TOOL_FAILED", "no")) : { result: 1, cost: 0.5 })),
      "tool:get": never,
    };
    const strategy = 'EMIT "a:b"\nRUN "good"\nRUN "bad"\nON ERROR:\n  STATE at = $now()\nCALL "tool:get"';
    await using module = await start({ work: strategy }, { handlers });
    const { run_id } = await module.call("orchestration:start", { pattern: "work" });
    await isAt(module, run_id, "tool:get");
    const steps: Record<string, unknown>[] = [];
    let cursor: string | undefined = "0";
    while (cursor !== undefined) {
      const page: { steps: Record<string, unknown>[]; cursor?: string } = await module.call("orchestration:journal", {
        run_id,
        limit: 1,
        cursor,
      });
      steps.push(...page.steps);
      cursor = page.cursor;
    }
    const kinds = steps.map(({ step, line, state, effect }) => [step, line, state, (effect as { kind: string } | undefined)?.kind]);
    assert.deepEqual(kinds, [
      ["1", 1, "done", "emit"],
      ["2", 2, "done", "run"],
      ["3", 3, "failed", "run"],
      ["4", 5, "done", undefined],
      ["5", 6, "open", "call"],
    ]);
    assert.equal(steps[1]?.cost, 0.5);
    assert.ok(steps.slice(0, 4).every(({ milliseconds, at }) => typeof milliseconds === "number" && typeof at === "string"));
  });

  it("keeps large inputs, results of steps and results out of its journal and its events", async () => {
    const large = "x".repeat(300_000);
    const shared = survivors();
    const first = await start(
      { work: 'RUN "large" AS one\nRUN "slow"\nRETURN {text, one}' },
      { ...shared, handlers: tools((name) => (name === "large" ? { result: large } : never())) },
    );
    const { run_id } = await first.call("orchestration:start", { pattern: "work", inputs: { text: large } });
    await isAt(first, run_id, "RUN slow");
    await first[Symbol.asyncDispose]();
    await using second = await start({}, { ...shared, log: first.log, handlers: tools(() => ({ result: 1 })) });
    const { result } = await second.call("orchestration:status", { run_id, wait: 5 });
    const whole = { text: large, one: large };
    // The reply has room for a part of it only.
    assert.deepEqual(Object.keys(result), ["$object", "bytes"]);
    assert.deepEqual(JSON.parse(Buffer.from((await shared.objects.get(result.$object)) ?? []).toString()), whole);
    const { entries } = await second.call("orchestration:journal", { run_id });
    assert.ok(JSON.stringify(entries).length < 10_000);
    assert.ok(JSON.stringify(second.log.records).length < 10_000);
  });

  it("goes on where its pattern was deleted meanwhile", async () => {
    const shared = survivors();
    let isSlow = true;
    const handlers = tools(() => (isSlow ? never() : { result: 2 }));
    const first = await start(
      { work: 'INCLUDE "part"\nRUN "slow" AS two\nRETURN {two, part}', part: "STATE part = 1" },
      { ...shared, handlers },
    );
    const { run_id } = await first.call("orchestration:start", { pattern: "work" });
    await isAt(first, run_id, "RUN slow");
    await first[Symbol.asyncDispose]();
    isSlow = false;
    await using second = await start({}, { ...shared, log: first.log, handlers });
    const { state, result, error } = await second.call("orchestration:status", { run_id, wait: 5 });
    assert.deepEqual([state, result], ["completed", { two: 2, part: 1 }], JSON.stringify(error));
  });

  it("starts no more runs than its limit of children, however many at once", async () => {
    const branches = Array.from({ length: 5 }, () => '  CALL "orchestration:start" WITH {pattern: "child"}').join("\n");
    await using module = await start({ parent: `PARALLEL:\n${branches}`, child: 'RUN "slow"' }, { handlers: tools(never) });
    const { run_id } = await module.call("orchestration:start", { pattern: "parent", budget: { children: 3 } });
    const { error } = await module.call("orchestration:status", { run_id, wait: 5 });
    assert.deepEqual([error.code, error.details], ["RUN_LIMIT_EXCEEDED", { limit: "children", allowed: 3, line: 5 }]);
    assert.equal((await module.call("orchestration:list", { parent_run: run_id })).runs.length, 3);
  });

  it("asks a human about a step whose outcome nobody knows, and goes on with the answer", async () => {
    const pattern = { work: 'RUN "charge" AS paid\nRETURN paid' };
    const resumedWith = async (decision: object) => {
      const shared = survivors();
      const calls: string[] = [];
      const asked: { id?: string; action: { step: string } }[] = [];
      const handlers = (answer: () => unknown) => ({
        ...tools((_, key) => {
          calls.push(key);
          return answer();
        }),
        "tool:list": () => ({ tools: [{ name: "charge", idempotent: false }] }),
        "approval:request": ((request: { action: { step: string } }, { cause }: { cause: { id: string } }) => {
          asked.push({ ...request, id: cause.id });
          return { id: "Q1", state: "pending" };
        }) as TestHandler,
      });
      const first = await start(pattern, { ...shared, handlers: handlers(never) });
      const { run_id } = await first.call("orchestration:start", { pattern: "work" });
      await until(() => calls.length > 0, "the step to be under way");
      await first[Symbol.asyncDispose]();
      await using second = await start(pattern, { ...shared, log: first.log, handlers: handlers(() => ({ result: "done again" })) });
      await until(() => asked.length > 0, "the question");
      assert.deepEqual([asked[0]?.action.step, asked[0]?.id], ["1", `${run_id}/1/inquiry-1`]);
      second.publish("approval:decided", { id: "another", state: "denied" });
      second.publish("approval:decided", { id: "Q1", ...decision });
      const { result, error } = await second.call("orchestration:status", { run_id, wait: 5 });
      assert.equal(new Set(calls).size, 1, "the key is the same in every attempt");
      return { result, code: error?.code, calls: calls.length };
    };
    assert.deepEqual(await resumedWith({ state: "denied" }), { result: "done again", code: undefined, calls: 2 });
    const known = { result: { result: 7 } };
    assert.deepEqual(await resumedWith({ state: "approved", decided_action: known }), { result: 7, code: undefined, calls: 1 });
    assert.equal((await resumedWith({ state: "expired" })).code, "STEP_OUTCOME_UNKNOWN");
  });

  it("of which only the event of its start was stored begins after a restart", async () => {
    const shared = survivors();
    const { promise: append, reject } = Promise.withResolvers<never>();
    const stuck = { ...shared.journal, append: () => append };
    const first = await start({ work: 'EMIT "a:b"\nRUN "slow"\nRETURN name' }, { ...shared, journal: stuck, handlers: tools(never) });
    const { run_id } = await first.call("orchestration:start", { pattern: "work", inputs: { name: "Ada" } });
    await turn();
    assert.deepEqual(await shared.journal.read(run_id), []);
    await using second = await start({}, { ...shared, log: first.log, handlers: tools(() => ({ result: 1 })) });
    // The first one still holds its lease as far as anybody knows.
    await shared.state.delete(`lease.${(await first.call("orchestration:status", { run_id })).owner}`);
    await until(
      async () => (await second.call("orchestration:status", { run_id }).catch(() => ({}))).state === "completed",
      "the run",
      30_000,
    );
    assert.equal((await second.call("orchestration:status", { run_id })).result, "Ada");
    reject(new CodedError("SHUTTING_DOWN", "the daemon was killed"));
    await first[Symbol.asyncDispose]();
  });
});

describe("a run that another daemon plays", () => {
  const strategies = { held: 'AWAIT "it:came"\nRETURN 1' };

  async function startTwo() {
    const shared = survivors();
    const one = await start(strategies, shared);
    const other = await start(strategies, { ...shared, log: one.log });
    const { run_id } = await one.call("orchestration:start", { pattern: "held" });
    return { one, other, run_id, shared };
  }

  it("is paused, resumed and cancelled by whichever daemon is asked", async () => {
    const { one, other, run_id } = await startTwo();
    await using stack = new AsyncDisposableStack();
    stack.use(one);
    stack.use(other);
    for (const [command, state] of [
      ["pause", "paused"],
      ["pause", "paused"],
      ["resume", "running"],
      ["resume", "running"],
      ["pause", "paused"],
      ["cancel", "cancelled"],
      ["cancel", "cancelled"],
    ]) {
      const status = await other.call(`orchestration:${command}`, { run_id });
      assert.deepEqual([status.state, status.directed], [state, undefined], command);
      assert.equal((await one.call("orchestration:status", { run_id })).state, state);
    }
    const types = one.log.ofType("orchestration:*").map(({ type }) => type.slice("orchestration:".length));
    assert.deepEqual(types, ["started", "directed", "paused", "directed", "resumed", "directed", "paused", "directed", "cancelled"]);
  });

  it("ends a wait for it with its end", async () => {
    const { one, other, run_id } = await startTwo();
    await using stack = new AsyncDisposableStack();
    stack.use(one);
    stack.use(other);
    const waiting = other.call("orchestration:status", { run_id, wait: 30 });
    await one.call("orchestration:cancel", { run_id });
    assert.equal((await waiting).state, "cancelled");
  });

  for (const [command, state] of [
    ["cancel", "cancelled"],
    ["pause", "paused"],
  ] as const) {
    it(`does what it was told (${command}) before anything else once somebody takes it over`, async () => {
      const { one, other, run_id, shared } = await startTwo();
      await one[Symbol.asyncDispose]();
      const owner = one.log.ofType("orchestration:started").map(({ data }) => (data as { owner: string }).owner)[0] as string;
      await shared.state.put(`lease.${owner}`, { holder: "somebody who is gone", beat: 0 });
      const asked = await other.call(`orchestration:${command}`, { run_id });
      assert.deepEqual([asked.state, asked.directed], ["running", command]);
      await shared.state.delete(`lease.${owner}`);
      await until(
        async () => (await other.call("orchestration:status", { run_id })).state === state,
        "the other daemon to take over and obey",
        20_000,
      );
      assert.equal((await other.call("orchestration:status", { run_id })).directed, undefined);
    });
  }
});
