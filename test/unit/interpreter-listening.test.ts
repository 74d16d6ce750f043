import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { type Answer, playText, store } from "../harness/play-text.ts";

const code = (error: unknown) => (error instanceof CodedError ? error.code : error);

/** Emits are stored; tools named by a number take so many milliseconds. */
const inLog =
  (log: MemoryEventLog): Answer =>
  async (effect, _, signal) => {
    if (effect.kind === "emit") store(log, effect.event, effect.data);
    if (effect.kind === "run") await sleep(Number(effect.tool), undefined, { signal });
    return undefined;
  };

/** As inLog(); the tool `tell` stores this event at each call, as number n, and ends after whatever that leads to. */
const telling = (log: MemoryEventLog, event: string): Answer => {
  let n = 0;
  return async (effect, step, signal) => {
    if (effect.kind !== "run" || effect.tool !== "tell") return inLog(log)(effect, step, signal);
    store(log, event, { n: ++n });
    for (let turn = 0; turn < 50; turn++) {
      await nextTurn();
      signal.throwIfAborted();
    }
    return undefined;
  };
};

test("ON plays its block for each event, with the event as `event`, in the order of the log, before what was awaited goes on", async () => {
  const log = new MemoryEventLog();
  setTimeout(() => {
    for (const by of ["a", "b", "c"]) store(log, "vote:cast", { by });
    store(log, "poll:closed");
    store(log, "vote:cast", { by: "late" });
  }, 5);
  const text = `
    STATE votes = []
    ON vote:cast:
      APPEND votes event.data.by
      EMIT "vote:counted" WITH {count: COUNT(votes)}
    AWAIT poll:closed
    STATE at_close = votes
    RETURN at_close`;
  const { result, performed } = await playText(text, { log });
  assert.deepEqual(result.slice(0, 3), ["a", "b", "c"]);
  const counted = performed.flatMap(({ effect }) => (effect.kind === "emit" ? (effect.data as { count: number }).count : []));
  assert.deepEqual(counted.slice(0, 3), [1, 2, 3]);
});

test("ON listens until the block around it ends, and takes each event once", async () => {
  const log = new MemoryEventLog();
  store(log, "a:b", { n: 0 });
  const text = `
    LOOP i FROM 1 TO 2:
      ON a:b:
        APPEND seen {i, n: event.data.n}
      EMIT "x:y"
      RUN "tell"
    RUN "tell"
    RETURN seen`;
  const { result } = await playText(text, { log, answer: telling(log, "a:b") });
  assert.deepEqual(result, [
    { i: 1, n: 0 },
    { i: 1, n: 1 },
    { i: 2, n: 2 },
  ]);
});

test("an event interrupts a long step only for its block; the step goes on", async () => {
  const log = new MemoryEventLog();
  const order: string[] = [];
  const answerOf = telling(log, "a:b");
  const answer: Answer = async (effect, step, signal) => {
    order.push(`${effect.kind} begins`);
    await answerOf(effect, step, signal);
    order.push(`${effect.kind} ends`);
  };
  await playText('WHEN a:b:\n  EMIT "c:d"\nRUN "tell"', { log, answer });
  assert.deepEqual(order, ["run begins", "emit begins", "emit ends", "run ends"]);
});

test("RETURN in a block of ON ends the run with its result, and stops the step that was under way", async () => {
  const log = new MemoryEventLog();
  const text = 'ON stop:asked:\n  RETURN event.data.n\nFIRST:\n  RUN "tell"\nRETURN "never"';
  assert.equal((await playText(text, { log, answer: telling(log, "stop:asked") })).result, 1);
});

test("an error in a block of ON is that of the statement that it interrupted", async () => {
  const log = new MemoryEventLog();
  const text = 'ON a:b:\n  STATE x = 1\n  UPDATE x.y = 2\nFIRST:\n  RUN "tell"\n  ON ERROR:\n    EMIT "c:d"\n    RETURN error.code';
  const { result, events } = await playText(text, { log, answer: telling(log, "a:b") });
  assert.equal(result, "EXPRESSION_FAILED");
  assert.deepEqual(events, ["run", "c:d"]);
  const aborted = await playText('ON a:b:\n  ABORT "no"\nRUN "100000000"', { log, answer: inLog(log) });
  assert.equal(code(aborted.error), "RUN_ABORTED");
});

test("events interrupt a PARALLEL as a whole: its branches do not see what the block of ON changes", async () => {
  const log = new MemoryEventLog();
  store(log, "a:b");
  const text = `
    ON a:b:
      STATE x = "changed"
    PARALLEL:
      FIRST:
        RUN "20"
        STATE seen = x
      RUN "1"
    RETURN {seen, x}`;
  assert.deepEqual((await playText(text, { log, answer: inLog(log), variables: { x: "first" } })).result, { seen: "first", x: "changed" });
});

test("a run with listeners that is cut at any entry and resumed has the same effects, each once", async () => {
  const text = `
    STATE votes = []
    ON vote:*:
      APPEND votes event.data.n
      EMIT "count:changed" WITH {count: COUNT(votes)}
    LOOP i FROM 1 TO 4:
      EMIT "vote:cast" WITH {n: i}
      RACE:
        AWAIT never:comes
        RUN "3" AS done
      APPEND trail {i, votes: COUNT(votes)}
      EMIT "round:done" WITH {i, votes}
    PARALLEL:
      RUN "2"
      EMIT "side:done"
    AWAIT {event: "count:changed", min: 4} AS counts
    EMIT "all:done" WITH {votes, trail, counts}
    RETURN {votes, trail}`;
  const log = new MemoryEventLog();
  const whole = await playText(text, { log, answer: inLog(log) });
  assert.equal(whole.error, undefined);
  assert.deepEqual(whole.result.votes, [1, 2, 3, 4]);
  const results = (entries: unknown[]) => (entries as { results: { step: string }[] }[]).flatMap((entry) => entry.results);
  assert.ok(
    results(whole.entries).some(({ step }) => step.includes("!1")),
    "nothing was taken up",
  );
  for (let length = 0; length <= whole.entries.length; length++) {
    const kept = structuredClone(whole.entries.slice(0, length));
    const finished = results(kept).map(({ step }) => step);
    const emitted = new Map<string, unknown>();
    const resumedLog = new MemoryEventLog();
    // The log has what the finished steps, and those that had begun, emitted.
    const begun = (kept as { intents: { step: string; effect: { kind: string; event: string; data: unknown } }[] }[]).flatMap(
      (entry) => entry.intents,
    );
    for (const { effect } of begun) if (effect.kind === "emit") store(resumedLog, effect.event, effect.data);
    const isStored = new Set(begun.map(({ step }) => step));
    const resumed = await playText(text, {
      log: resumedLog,
      entries: kept,
      answer: (effect, step, signal) => {
        emitted.set(step, effect);
        return effect.kind === "emit" && isStored.has(step) ? undefined : inLog(resumedLog)(effect, step, signal);
      },
    });
    assert.equal(resumed.error, undefined, `cut at ${length}: ${resumed.error}`);
    assert.deepEqual(resumed.result.votes, [1, 2, 3, 4], `cut at ${length}`);
    const again = resumed.performed.map(({ step }) => step);
    assert.equal(new Set(again).size, again.length, `cut at ${length}: a step was performed twice`);
    assert.deepEqual(
      again.filter((step) => finished.includes(step)),
      [],
      `cut at ${length}: a finished step was repeated`,
    );
    const counted = resumedLog.ofType("count:changed").map(({ data }) => (data as { count: number }).count);
    assert.deepEqual(counted, [1, 2, 3, 4], `cut at ${length}`);
  }
});

test("WHEN plays as a phase begins, AFTER as it has ended, each also when that was before; DURING listens as long as it lasts", async () => {
  const text = `
    WHEN work:
      EMIT "1:work_begins"
    AFTER work:
      EMIT "5:work_ended"
    DURING work:
      EMIT "2:during"
      ON tick:tock:
        EMIT "3:tick"
    STAGE work:
      EMIT "2:works"
      RUN "tell"
      EMIT "4:worked"
    RUN "tell"
    WHEN work:
      EMIT "6:again"
    AFTER first:
      EMIT "never:played"
    AFTER "Work":
      EMIT "7:after"`;
  const log = new MemoryEventLog();
  const { events } = await playText(`${text}\nFIRST:\n  STATE x = 1`, { log, answer: telling(log, "tick:tock") });
  assert.deepEqual(
    events.filter((event) => event !== "run"),
    ["1:work_begins", "2:during", "2:works", "3:tick", "4:worked", "5:work_ended", "6:again", "7:after", "never:played"],
  );
});

test("DURING without a STAGE of its name is that phase, and a phase within itself begins nothing", async () => {
  const { events } = await playText(
    'DURING warm up:\n  EMIT "a:b"\nAFTER warm_up:\n  EMIT "c:d"\nWHEN loop:\n  STAGE loop:\n    EMIT "e:f"\nSTAGE loop:\n  EMIT "g:h"',
  );
  assert.deepEqual(events, ["a:b", "c:d", "e:f", "g:h"]);
});
