import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { type Answer, playText, store } from "../harness/play-text.ts";

const code = (error: unknown) => (error instanceof CodedError ? error.code : error);

/** Tools named by the milliseconds that they take; `fail…` fails, `never` does not end. */
const tools: Answer = async (effect, _, signal) => {
  if (effect.kind !== "run") return undefined;
  const milliseconds = Number(/\d+/.exec(effect.tool)?.[0]);
  await sleep(effect.tool === "never" ? 2 ** 30 : milliseconds, undefined, { signal });
  if (effect.tool.startsWith("fail")) throw new CodedError("TOOL_FAILED", effect.tool);
  return { result: effect.tool };
};

test("RACE goes on as soon as one branch has ended; the others are stopped and leave nothing in the variables", async () => {
  const text = `
    RACE:
      FIRST:
        STATE slow = 1
        RUN "never" AS slow
        EMIT "slow:done"
      FIRST:
        RUN "5" AS fast
        EMIT "fast:done"
    RETURN {slow, fast}`;
  const { result, events } = await playText(text, { answer: tools });
  assert.deepEqual(result, { fast: "5" });
  assert.deepEqual(events, ["run", "run", "fast:done"]);
});

test("a branch that fails does not win; when all fail, the RACE fails with the first of them in the text", async () => {
  const { result } = await playText('RACE:\n  RUN "fail1"\n  RUN "9" AS won\nRETURN won', { answer: tools });
  assert.equal(result, "9");
  const { error } = await playText('RACE:\n  RUN "fail9"\n  RUN "fail1"', { answer: tools });
  assert.deepEqual([code(error), (error as Error).message], ["TOOL_FAILED", "fail9"]);
});

test("RETURN in the winning branch ends the run; ABORT in any branch ends it at once", async () => {
  assert.equal((await playText('RACE:\n  RUN "never"\n  RETURN 1\nRETURN 2', { answer: tools })).result, 1);
  assert.equal(code((await playText('RACE:\n  RUN "never"\n  ABORT "no"', { answer: tools })).error), "RUN_ABORTED");
});

test("a RACE between an event and the time is a wait with a default", async () => {
  const log = new MemoryEventLog();
  const text = `
    RACE:
      AWAIT order:paid AS paid
      FIRST:
        AWAIT never:comes WITHIN 20ms AS nothing
        ON ERROR:
          STATE late = true
    RETURN {paid, late}`;
  assert.deepEqual((await playText(text, { log })).result, { late: true });
  store(log, "order:paid", { id: 1 });
  assert.deepEqual((await playText(text, { log })).result, { paid: { id: 1 } });
});

test("a replay lets the same branch win, and does not play the others", async () => {
  const text =
    'RACE:\n  RUN "30" AS left\n  RUN "1" AS right\nEMIT "race:won" WITH {left, right}\nRUN "2" AS last\nRETURN {left, right, last}';
  const whole = await playText(text, { answer: tools });
  assert.deepEqual(whole.result, { right: "1", last: "2" });
  const reversed: Answer = (effect, step, signal) =>
    tools(effect.kind === "run" && effect.tool === "30" ? { ...effect, tool: "0" } : effect, step, signal);
  const cut = whole.entries.length - 1;
  const resumed = await playText(text, { answer: reversed, entries: structuredClone(whole.entries.slice(0, cut)) });
  assert.deepEqual(resumed.result, whole.result);
  assert.ok(resumed.events.length < 3, "the branches of the race were played again");
});

test("the loser's half-done step is not inquired after in a replay", async () => {
  const text = 'RACE:\n  RUN "never"\n  RUN "1" AS won\nEMIT "a:b"\nRETURN won';
  const whole = await playText(text, { answer: tools });
  const length = whole.entries.findIndex((entry) => JSON.stringify(entry).includes("!winner")) + 1;
  assert.ok(length > 0);
  const resumed = await playText(text, { answer: tools, entries: structuredClone(whole.entries.slice(0, length)), repeatable: false });
  assert.equal(resumed.error, undefined);
  assert.equal(resumed.result, "1");
});

test("an event that a losing branch had got is there for the next round", async () => {
  const log = new MemoryEventLog();
  store(log, "a:b", { n: 1 });
  const text = `
    LOOP i FROM 1 TO 2:
      RACE:
        FIRST:
          AWAIT a:b AS got
          IF i = 1:
            RUN "never"
        FIRST:
          RUN "9"
          IF i = 2:
            RUN "never"
    RETURN got.n`;
  assert.equal((await playText(text, { log, answer: tools })).result, 1);
});
