import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import type { EventRecord } from "../../daemon/module.ts";
import { startTestLog } from "../harness/event-log.ts";

const large = "x".repeat(900_000);

async function sequencesOf(events: AsyncIterable<{ readonly seq: number }>): Promise<number[]> {
  const sequences: number[] = [];
  for await (const { seq } of events) sequences.push(seq);
  return sequences;
}

const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

describe("reading the event log", () => {
  it("gives a range of sequences in order, whatever lies outside it", async () => {
    await using test = await startTestLog();
    await Promise.all(upTo(2_500).map((seq) => test.append("a:x", seq)));
    assert.deepEqual(await sequencesOf(test.log.readRange(1, 2_500)), upTo(2_500));
    assert.deepEqual(await sequencesOf(test.log.readRange(3, 7)), upTo(7, 3));
    assert.deepEqual(await sequencesOf(test.log.readRange(2_499, 9_999)), upTo(2_500, 2_499));
    assert.deepEqual(await sequencesOf(test.log.readRange(2_501, 9_999)), []);
    assert.equal(await test.log.lastSequence(), 2_500);
  });

  it("gives a range of large events page by page", async () => {
    await using test = await startTestLog();
    for (let count = 0; count < 12; count++) await test.append("a:x", large);
    const subscribed = mock.method(test.connection, "subscribe");
    const events = test.log.readRange(1, 12);
    await events.next();
    assert.equal(subscribed.mock.callCount(), 1);
    assert.deepEqual(await sequencesOf(events), upTo(12, 2));
    assert.equal(subscribed.mock.callCount(), 6);
  });

  it("passes over what is gone", async () => {
    await using test = await startTestLog();
    for (let count = 0; count < 6; count++) await test.append("a:x");
    for (const seq of [1, 3, 6]) await test.manager.streams.deleteMessage(test.subjects.streams.events, seq);
    assert.deepEqual(await sequencesOf(test.log.readRange(1, 6)), [2, 4, 5]);
    assert.deepEqual(await sequencesOf(test.log.readEach([5, 3, 2, 1, 99])), [5, 2]);
  });

  it("fetches scattered events a few at a time, and no more once nobody asks", async () => {
    await using test = await startTestLog();
    await Promise.all(upTo(100).map((seq) => test.append("a:x", seq)));
    const read = mock.method(test.log, "read");
    for await (const { seq } of test.log.readEach(upTo(100))) if (seq === 10) break;
    assert.ok(read.mock.callCount() < 20, `${read.mock.callCount()} reads`);
  });
});

describe("a projection of large events", () => {
  it("has a few of them waiting, not hundreds, and still sees all", async () => {
    await using test = await startTestLog();
    const count = 40;
    for (let seq = 1; seq <= count; seq++) await test.append("a:x", large);
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    const seen: number[] = [];
    const before = test.connection.stats().inBytes;
    const handle = async (events: readonly EventRecord[]) => {
      await opened;
      seen.push(...events.map(({ seq }) => seq));
    };
    await using projection = await test.log.project({ types: ["a:*"], handle }, new AbortController().signal);
    const received = await standsStill(() => test.connection.stats().inBytes - before);
    open();
    await projection.caughtUp;
    assert.deepEqual(seen, upTo(count));
    assert.ok(received > large.length && received < 20 * large.length, `${received} bytes`);
  });
});

/** The value once it did not change over several round trips of the event loop. */
async function standsStill(value: () => number): Promise<number> {
  for (let last = value(), same = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = value();
    same = now === last && now > 0 ? same + 1 : 0;
    last = now;
    if (same === 10) return now;
  }
}
