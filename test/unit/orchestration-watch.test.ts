import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { openWatch } from "../../modules/orchestration/watch.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";

const newSignal = () => new AbortController().signal;
const never = newSignal();

function openOn(log: MemoryEventLog) {
  const stop = new AbortController();
  const project = mock.fn(async (options: Parameters<MemoryEventLog["project"]>[0]) => log.project(options));
  const query = mock.fn(async (wanted: Parameters<MemoryEventLog["query"]>[0]) => log.query(wanted));
  const position = async () => ({ log: log.identity, seq: log.records.length });
  const watch = openWatch({ project, position, signal: stop.signal, events: { query } });
  return { watch, project, query };
}

let ids = 0;
const store = (log: MemoryEventLog, type: string, data: unknown = {}) => {
  const id = `event-${ids++}`;
  return log.append({ id, type, time: "", source: "test", data, correlation: id, hops: 0 });
};

describe("a watch over the event log", () => {
  it("finds the first matching event after a position, also one that was stored before the wait began", async () => {
    const log = new MemoryEventLog();
    const { watch } = openOn(log);
    const before = store(log, "order:paid", { order: 1 });
    store(log, "order:sent", { order: 2 });
    store(log, "order:paid", { order: 3 });
    const found = await watch.waitFor({ types: ["order:paid"], after: before.seq, signal: never });
    assert.deepEqual(found.data, { order: 3 });
    await watch[Symbol.asyncDispose]();
  });

  it("waits for events to come, by pattern and by condition", async () => {
    const log = new MemoryEventLog();
    const { watch } = openOn(log);
    const where = ({ data }: { data: unknown }) => (data as { order: number }).order === 7;
    const waiting = watch.waitFor({ types: ["order:*"], after: 0, where, signal: never });
    for (let order = 1; order <= 9; order++) store(log, order % 2 === 0 ? "order:sent" : "order:paid", { order });
    assert.equal((await waiting).seq, 7);
    await watch[Symbol.asyncDispose]();
  });

  it("does not count an event up to the position, even where the reader is behind it", async () => {
    const log = new MemoryEventLog();
    const { watch } = openOn(log);
    await watch.waitFor({ types: ["a:b"], after: 0, signal: AbortSignal.timeout(1) }).catch(() => {});
    const { seq } = store(log, "a:b");
    const waiting = watch.waitFor({ types: ["a:b"], after: seq, signal: never });
    const wanted = store(log, "a:b");
    assert.equal((await waiting).seq, wanted.seq);
    await watch[Symbol.asyncDispose]();
  });

  it("gives a slow reader every event once and in order, however long its queue became", async () => {
    const log = new MemoryEventLog();
    const { watch } = openOn(log);
    const seen: number[] = [];
    const total = 5_000;
    for (let count = 0; count < 100; count++) store(log, "tick:tock");
    for await (const { seq } of watch.follow({ types: ["tick:*", "*:tock"], after: 0, signal: never })) {
      if (seen.length === 0) for (let count = 100; count < total; count++) store(log, "tick:tock");
      seen.push(seq);
      if (seen.length % 100 === 0) await new Promise(setImmediate);
      if (seen.length === total) break;
    }
    assert.deepEqual(
      seen,
      Array.from({ length: total }, (_, index) => index + 1),
    );
    await watch[Symbol.asyncDispose]();
  });

  it("serves ten thousand waits with one reader and without a query each", async () => {
    const log = new MemoryEventLog();
    const { watch, project, query } = openOn(log);
    store(log, "other:thing");
    const waits = Array.from({ length: 10_000 }, (_, index) =>
      watch.waitFor({ types: [`reply:to_${index}`], after: 1, signal: newSignal() }),
    );
    await new Promise(setImmediate);
    for (let index = 0; index < waits.length; index++) store(log, `reply:to_${index}`);
    const found = await Promise.all(waits);
    assert.equal(found[1234]?.type, "reply:to_1234");
    assert.equal(project.mock.callCount(), 1);
    assert.equal(query.mock.callCount(), 0);
    await watch[Symbol.asyncDispose]();
  });

  it("ends a wait with the reason of its signal, or with what its condition throws", async () => {
    const log = new MemoryEventLog();
    const { watch } = openOn(log);
    const abort = new AbortController();
    const waiting = watch.waitFor({ types: ["a:b"], after: 0, signal: abort.signal });
    abort.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    store(log, "a:b");
    const failing = () => {
      throw new Error("not a condition");
    };
    await assert.rejects(watch.waitFor({ types: ["a:b"], after: 0, where: failing, signal: never }), /not a condition/);
    await watch[Symbol.asyncDispose]();
  });
});
