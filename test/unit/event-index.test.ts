import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import pino from "pino";
import { EventIndex } from "../../daemon/events/event-index.ts";
import type { EventLog } from "../../daemon/events/event-log.ts";
import type { EventRecord } from "../../daemon/module.ts";

const event = (seq: number, type = "a:b"): EventRecord => ({
  id: `event-${seq}`,
  type,
  time: new Date(seq).toISOString(),
  source: "test",
  data: null,
  correlation: `event-${seq}`,
  hops: 0,
  seq,
});

const events = (count: number, typeOf: (seq: number) => string = () => "a:b") =>
  Array.from({ length: count }, (_, index) => event(index + 1, typeOf(index + 1)));

function indexOf(stored: readonly EventRecord[], file = ":memory:"): EventIndex {
  const log: Pick<EventLog, "identity" | "lastSequence" | "readRange"> = {
    identity: "test",
    lastSequence: async () => stored.at(-1)?.seq ?? 0,
    async *readRange(first, last) {
      yield* stored.filter(({ seq }) => first <= seq && seq <= last);
    },
  };
  return new EventIndex({ file, log: log as EventLog, logger: pino({ level: "silent" }) });
}

test("whoever asks during a catch-up sees what was stored after that one began", async () => {
  const stored = [event(1)];
  using index = indexOf(stored);
  const first = index.catchUp();
  await Promise.resolve(); // it has asked for the end of the log
  stored.push(event(2));
  await index.catchUp();
  assert.equal(index.findById("event-2"), 2);
  await first;
});

test("an event is found by its id among those of a type that is meant", async () => {
  using index = indexOf([{ ...event(1), type: "guess:made" }, event(2)]);
  await index.catchUp();
  assert.equal(index.findById("event-1", "guess:*"), 1);
  assert.equal(index.findById("event-1", "policy:*"), undefined);
});

test("after a batch that could not be stored the next one is", async (context) => {
  const folder = await mkdtemp(join(tmpdir(), "reprise-test-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "index.sqlite");
  using index = indexOf(events(3), file);
  const other = new DatabaseSync(file);
  other.exec("BEGIN IMMEDIATE");
  await assert.rejects(index.catchUp(), /locked/);
  other.exec("ROLLBACK");
  other.close();
  await index.catchUp();
  assert.equal(index.findById("event-3"), 3);
});

test("a query by patterns of types gives those that match, in log order, from its place on and up to its limit", async () => {
  const names = ["a:x", "b:x", "b:y", "c:z"];
  using index = indexOf(events(400, (seq) => names[seq % 4] as string));
  const expected = (...types: string[]) =>
    Array.from({ length: 400 }, (_, at) => at + 1).filter((seq) => types.includes(names[seq % 4] as string));
  const asked = { limit: 1_000 };
  assert.deepEqual(await index.query({ ...asked, types: ["b:y"] }), expected("b:y"));
  assert.deepEqual(await index.query({ ...asked, types: ["b:*"] }), expected("b:x", "b:y"));
  assert.deepEqual(await index.query({ ...asked, types: ["*:x", "c:z"] }), expected("a:x", "b:x", "c:z"));
  assert.deepEqual(await index.query({ ...asked, types: ["b:*", "b:x"] }), expected("b:x", "b:y"));
  assert.deepEqual(await index.query({ ...asked, types: ["*"] }), expected(...names));
  assert.deepEqual(await index.query({ ...asked, types: ["d:*"] }), []);
  const later = expected("b:x", "b:y").filter((seq) => seq > 100);
  assert.deepEqual(await index.query({ types: ["b:*"], after: 100, limit: 7 }), later.slice(0, 7));
  assert.deepEqual(await index.query({ ...asked, types: ["b:*"], correlation: "event-1" }), [1]);
  assert.deepEqual(await index.query({ ...asked, types: ["c:*"], correlation: "event-1" }), []);
});

test("a query by time takes its start and leaves its end, also where times are out of order", async () => {
  const stored = events(100);
  [stored[49], stored[50]] = [
    { ...event(50), time: event(51).time },
    { ...event(51), time: event(50).time },
  ];
  using index = indexOf(stored);
  assert.deepEqual(await index.query({ since: 49, until: 51, limit: 10 }), [49, 51]);
  assert.deepEqual(await index.query({ types: ["a:*"], since: 99, limit: 10 }), [99, 100]);
  assert.deepEqual(await index.query({ types: ["a:b"], until: 3, limit: 10 }), [1, 2]);
  assert.deepEqual(await index.query({ since: 200, limit: 10 }), []);
});

test("a pattern that matches a great many types is answered too", async () => {
  using index = indexOf(events(500, (seq) => `a:t${seq % 250}`));
  assert.equal((await index.query({ types: ["a:*"], limit: 1_000 })).length, 500);
});

/** A daemon whose event loop had no pause since the last tick; the clock stands still but for `tick`. */
function busyLoop(context: TestContext): (milliseconds: number) => void {
  context.mock.method(performance, "eventLoopUtilization", () => ({ idle: 0, active: 1, utilization: 1 }));
  context.mock.timers.enable({ apis: ["setInterval", "Date"], now: Date.now() });
  return (milliseconds) => context.mock.timers.tick(milliseconds);
}

/** Lets everything run that waits for nothing but its turn, at most so many times. */
const settle = async (turns = 50) => {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
};

test("a busy daemon indexes a batch a second, and everything after five minutes", async (context) => {
  const tick = busyLoop(context);
  const stored = events(1);
  using index = indexOf(stored);
  await index.catchUp();
  stored.push(...events(4_000).slice(1));
  tick(1_000);
  await settle();
  assert.equal(index.findById("event-1001"), 1_001);
  assert.equal(index.findById("event-1002"), undefined);
  tick(1_000);
  await settle();
  assert.equal(index.findById("event-2001"), 2_001);
  assert.equal(index.findById("event-2002"), undefined);
  context.mock.timers.setTime(Date.now() + 5 * 60_000);
  tick(1_000);
  await settle();
  assert.equal(index.findById("event-4000"), 4_000);
});

test("what a crash left behind is indexed at once, busy or not", async (context) => {
  const tick = busyLoop(context);
  using index = indexOf(events(4_000));
  tick(1_000);
  await settle();
  assert.equal(index.findById("event-4000"), 4_000);
});
