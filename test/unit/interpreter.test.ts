import assert from "node:assert/strict";
import { test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import { type JournalStore, RunLost, type StepsEntry } from "../../modules/orchestration/interpreter/journal.ts";
import { type Answer, playText } from "../harness/play-text.ts";

const resultOf = async (text: string, variables?: Record<string, unknown>) => {
  const { result, error } = await playText(text, { variables });
  if (error !== undefined) throw error;
  return result;
};

const code = (error: unknown) => (error instanceof CodedError ? error.code : error);

test("without RETURN the result is the final state", async () => {
  assert.deepEqual(
    await resultOf("STATE a = 1\nCALCULATE b = a + 1\nUPDATE c.d = b\nUPDATE c SET e = 3, f.g = 4\nAPPEND l a\nAPPEND l b"),
    {
      a: 1,
      b: 2,
      c: { d: 2, e: 3, f: { g: 4 } },
      l: [1, 2],
    },
  );
});

test("an update leaves what was read before as it was", async () => {
  assert.deepEqual(await resultOf("STATE a = {list: [1]}\nSTATE before = a\nUPDATE a.list = [2]\nAPPEND a.list 3\nRETURN {a, before}"), {
    a: { list: [2, 3] },
    before: { list: [1] },
  });
});

test("IF takes the first branch that is true, ELSE when none is", async () => {
  const text = "IF x > 2:\n  RETURN 'big'\nELIF x > 1:\n  RETURN 'middle'\nELSE:\n  RETURN 'small'";
  assert.deepEqual(await Promise.all([3, 2, 1].map((x) => resultOf(text, { x }))), ["big", "middle", "small"]);
});

test("BRANCH takes the CASE with the equal value", async () => {
  const text = "BRANCH x:\n  CASE 'a': RETURN 1\n  CASE {b: 1}: RETURN 2\n  ELSE: RETURN 3";
  assert.deepEqual(await Promise.all(["a", { b: 1 }, "c"].map((x) => resultOf(text, { x }))), [1, 2, 3]);
});

test("LOOP includes both bounds, FOREACH takes one value for a list, and neither leaves its variable behind", async () => {
  assert.deepEqual(
    await resultOf(
      "STATE i = 'kept'\nLOOP i FROM 1 TO 3:\n  APPEND seen i\nFOREACH x IN 7:\n  APPEND seen x\nFOREACH x IN nothing:\n  APPEND seen 9",
    ),
    {
      i: "kept",
      seen: [1, 2, 3, 7],
    },
  );
});

test("WHILE ends when its condition is false, or at MAX", async () => {
  assert.deepEqual(await resultOf("STATE n = 0\nWHILE n < 3:\n  UPDATE n = n + 1"), { n: 3 });
  assert.deepEqual(await resultOf("STATE n = 0\nWHILE true MAX 2:\n  UPDATE n = n + 1"), { n: 2 });
});

test("RETURN ends the run from inside of blocks", async () => {
  assert.equal(await resultOf("FIRST:\n  FOREACH x IN [1, 2, 3]:\n    IF x = 2:\n      RETURN x * 10\nTHEN: ABORT 'not reached'"), 20);
});

test("a judgement point is passed, a prose condition is false, and a block that prose guards is not played", async () => {
  const text =
    "Consider the mood.\nIF the mood is bad:\n  EMIT 'a:sad'\nELSE:\n  EMIT 'a:fine'\nWhenever it rains:\n  EMIT 'a:rain'\nIn order:\n  EMIT 'a:b'\nStep one:\n  EMIT 'a:one'";
  const { events, judgements } = await playText(text);
  assert.deepEqual(events, ["a:fine", "a:b", "a:one"]);
  assert.deepEqual(judgements, ["Consider the mood.", "the mood is bad", "Whenever it rains:", "In order:", "Step one:"]);
});

test("a judgement that is REQUIRED ends a scripted run with an error", async () => {
  const { error, events } = await playText("EMIT 'a:b'\nREQUIRED: decide who goes first.\nEMIT 'a:c'");
  assert.equal(code(error), "JUDGEMENT_REQUIRED");
  assert.deepEqual(events, ["a:b"]);
});

test("effects carry evaluated values and their results are kept under AS", async () => {
  const text = `
    RUN "size" WITH {path} AS found
    CALL "memory:get" WITH {key: found.bytes} AS known
    CHOOSE method FROM ["a", "b"] FOR {bytes: found.bytes} AS picked
    OUTCOME picked reward: found.bytes / 10, success: true
    TRACK decision: "{{picked.choice}} for {{path}}" WITH confidence: picked.probability
    EMIT "file:done" WITH {choice: picked.choice, known} AFTER 2min AS receipt
    RETURN {receipt, known}`;
  const answers: Record<string, unknown> = {
    run: { result: { bytes: 5 }, cached: false },
    call: "yes",
    choose: { choice: "b", probability: 0.5, decision_id: "D" },
    emit: { id: "E" },
  };
  const { performed, result } = await playText(text, { variables: { path: "x.ts" }, answer: ({ kind }) => answers[kind] });
  assert.deepEqual(
    performed.map(({ effect }) => JSON.parse(JSON.stringify(effect))),
    [
      { kind: "run", tool: "size", input: { path: "x.ts" } },
      { kind: "call", command: "memory:get", input: { key: 5 } },
      { kind: "choose", slot: "method", context: { bytes: 5 }, candidates: ["a", "b"] },
      { kind: "outcome", input: { decision_id: "D", reward: 0.5, success: true } },
      { kind: "track", input: { decision: "b for x.ts", confidence: 0.5 } },
      { kind: "emit", event: "file:done", data: { choice: "b", known: "yes" }, delay: 120 },
    ],
  );
  assert.deepEqual(result, { receipt: { id: "E" }, known: "yes" });
});

const failing =
  (times: number, failure = new CodedError("TOOL_FAILED", "broken", { name: "t" })): Answer =>
  (effect) => {
    if (effect.kind === "run" && times-- > 0) throw failure;
    return { result: "done" };
  };

test("ON ERROR handles an error of the statements before it, sees it as `error`, and the block goes on", async () => {
  const text =
    "FOREACH x IN [1, 2]:\n  RUN 't' AS r\n  APPEND good x\n  ON ERROR:\n    APPEND bad {x, code: error.code, name: error.details.name}\n  APPEND seen x";
  const { result } = await playText(text, { answer: failing(1) });
  assert.deepEqual(result, { bad: [{ x: 1, code: "TOOL_FAILED", name: "t" }], seen: [1, 2], r: "done", good: [2] });
});

test("an error that nobody handles ends the run with it", async () => {
  const { error } = await playText("RUN 't'\nEMIT 'a:b'", { answer: failing(1) });
  assert.equal(code(error), "TOOL_FAILED");
});

test("ABORT and limits are not errors that a pattern can handle", async () => {
  const { error } = await playText("ABORT 'no use'\nON ERROR:\n  RETURN 1");
  assert.equal(code(error), "RUN_ABORTED");
  assert.equal((error as Error).message, "no use");
  const limited = await playText("LOOP i FROM 1 TO 9:\n  EMIT 'a:b'\nON ERROR:\n  RETURN 1", { limits: { steps: 3 } });
  assert.equal(code(limited.error), "RUN_LIMIT_EXCEEDED");
  assert.equal((limited.error as CodedError).details.limit, "steps");
  assert.equal(limited.performed.length, 3);
});

test("RETRY repeats its block with a growing wait and gives up with the last error", async () => {
  const text = "RETRY 3 TIMES BACKOFF 100ms:\n  RUN 't' AS r";
  const mended = await playText(text, { answer: failing(2) });
  assert.deepEqual(
    mended.performed.map(({ effect }) => (effect.kind === "sleep" ? effect.milliseconds : effect.kind)),
    ["run", 100, "run", 200, "run"],
  );
  assert.deepEqual(mended.result, { r: "done" });
  const given = await playText(text, { answer: failing(9) });
  assert.equal(code(given.error), "TOOL_FAILED");
  assert.equal(given.performed.filter(({ effect }) => effect.kind === "run").length, 3);
});

test("PARALLEL plays at most MAX branches at once and joins their writes in the order of the text", async () => {
  let running = 0;
  let most = 0;
  const { result } = await playText(
    "PARALLEL MAX 2:\n  FIRST:\n    RUN 'slow'\n    APPEND l 1\n  FIRST:\n    APPEND l 2\n  FIRST:\n    RUN 'x'\n    APPEND l 3\n    UPDATE a = 3",
    {
      variables: { l: [0] },
      async answer() {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
      },
    },
  );
  assert.deepEqual(result, { l: [0, 1, 2, 3], a: 3 });
  assert.equal(most, 2);
});

test("an endless loop without effects is stopped by the signal and lets others work meanwhile", async () => {
  const abort = new AbortController();
  setImmediate(() => abort.abort(new CodedError("RUN_LIMIT_EXCEEDED", "time", { limit: "seconds" })));
  const { error } = await playText("WHILE true:\n  STATE a = 1", { signal: abort.signal });
  assert.equal(code(error), "RUN_LIMIT_EXCEEDED");
});

test("a step that was cut short by the end of the run is not recorded as failed", async () => {
  const abort = new AbortController();
  const { error, entries } = await playText("RUN 't'\nON ERROR:\n  EMIT 'a:b'", {
    signal: abort.signal,
    answer() {
      abort.abort(new Error("stopped"));
      throw new CodedError("TOOL_FAILED", "cut short");
    },
  });
  assert.equal((error as Error).message, "stopped");
  assert.deepEqual(
    (entries as StepsEntry[]).flatMap(({ results }) => results),
    [],
  );
});

test("another owner's entry stops the run before its effect", async () => {
  const { error, performed } = await playText("EMIT 'a:b'", { store: { read: async () => [], append: async () => "conflict" } });
  assert.ok(error instanceof RunLost);
  assert.deepEqual(performed, []);
});

test("an append of unknown outcome is repeated, and recognised when it had been stored", async () => {
  const entries: unknown[] = [];
  let failures = 1;
  const store: JournalStore = {
    read: async () => structuredClone(entries),
    async append(index, entry) {
      if (index !== entries.length) return "conflict";
      entries.push(JSON.parse(JSON.stringify(entry)));
      if (failures-- > 0) throw new Error("no answer");
      return "appended";
    },
  };
  const { events, error } = await playText("EMIT 'a:b'\nEMIT 'a:c'", { store });
  assert.equal(error, undefined);
  assert.deepEqual(events, ["a:b", "a:c"]);
  assert.deepEqual(
    entries.map((entry) => (entry as StepsEntry).intents.map(({ step }) => step)),
    [["1"], ["2"], []],
  );
});

/** Everything there is, with effects on each path. */
const eventful = `
  STATE started = $millis()
  FOREACH x IN [1, 2, 3]:
    RUN "work" WITH {x} AS done
    CHOOSE method FROM ["a", "b"] AS picked
    IF done.size > 1:
      OUTCOME picked reward: done.size
    ELSE:
      TRACK decision: "small {{x}}"
    ON ERROR:
      EMIT "work:failed" WITH {x, code: error.code}
    APPEND sizes done.size
  PARALLEL:
    FIRST:
      EMIT "left:one"
      CALL "memory:get" AS known
      EMIT "left:two" WITH {known}
    EMIT "right:one" WITH {at: $random()}
  RETRY 3 TIMES BACKOFF 1ms:
    RUN "flaky" AS flaky
  EMIT "all:done" WITH {sizes, flaky, started}
  RETURN {sizes, flaky, started}`;

const eventfulAnswer: Answer = (effect, step) => {
  if (effect.kind === "choose") return { decision_id: step, choice: "a" };
  if (effect.kind === "call") return { value: step };
  if (effect.kind !== "run") return undefined;
  const { x } = effect.input as { x?: number };
  if (x === 2) throw new CodedError("TOOL_FAILED", "two is bad");
  if (effect.tool === "flaky" && step.length < 3 && Number(step) % 2 === 0) throw new CodedError("TOOL_FAILED", "flaky");
  return { result: { size: x } };
};

test("a run that is cut at any entry of its journal and resumed has the same result and repeats no finished step", async () => {
  const whole = await playText(eventful, { answer: eventfulAnswer });
  assert.equal(whole.error, undefined);
  const results = (entries: unknown[]) => (entries as StepsEntry[]).flatMap(({ results }) => results);
  const allSteps = new Set(whole.performed.map(({ step }) => step));
  assert.ok(whole.entries.length > 10, "the pattern is long enough to be cut");
  for (let length = 0; length <= whole.entries.length; length++) {
    const kept = whole.entries.slice(0, length);
    const finished = results(kept).map(({ step }) => step);
    const resumed = await playText(eventful, { answer: eventfulAnswer, entries: structuredClone(kept) });
    assert.equal(resumed.error, undefined, `cut at ${length}`);
    const again = resumed.performed.map(({ step }) => step);
    assert.equal(new Set(again).size, again.length, `cut at ${length}: a step was performed twice`);
    assert.deepEqual(
      again.filter((step) => finished.includes(step)),
      [],
      `cut at ${length}: a finished step was repeated`,
    );
    const covered = new Set([...again, ...finished]);
    assert.deepEqual(
      [...allSteps].filter((step) => !covered.has(step)),
      [],
      `cut at ${length}: a step is missing`,
    );
    const recorded = results(resumed.entries).map(({ step }) => step);
    assert.equal(new Set(recorded).size, recorded.length, `cut at ${length}: a step has two results`);
    const startedIsRecorded = finished.includes("1");
    if (startedIsRecorded) assert.deepEqual(resumed.result, whole.result, `cut at ${length}`);
  }
});

test("a step of unknown outcome that must not be repeated ends the run, and no ON ERROR goes over that", async () => {
  const text = "RUN 'pay'\nON ERROR:\n  EMIT 'a:b'";
  const { entries } = await playText(text);
  const resumed = await playText(text, { entries: entries.slice(0, 1), repeatable: false });
  assert.equal(code(resumed.error), "STEP_OUTCOME_UNKNOWN");
  assert.deepEqual(resumed.performed, []);
});

test("a read needs no intent in the journal, a write has its own before it is done", async () => {
  const { entries } = await playText("CALL 'memory:get'\nCALL 'memory:put'");
  assert.deepEqual(
    (entries as StepsEntry[]).map(({ intents, results }) => [intents.map(({ step }) => step), results.map(({ step }) => step)]),
    [
      [["2"], ["1"]],
      [[], ["2"]],
    ],
  );
});

test("the journal of 10 000 steps grows by the same amount per step", async () => {
  const { entries } = await playText("LOOP i FROM 1 TO 10000:\n  EMIT 'a:b' WITH {i}", { limits: { steps: 20_000 } });
  const size = (from: number, to: number) => JSON.stringify(entries.slice(from, to)).length;
  assert.ok(size(9000, 9900) < size(1000, 1900) * 1.1);
});
