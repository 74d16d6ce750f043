import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { EventRecord, LogPosition } from "../../daemon/module.ts";
import { startTestLog } from "../harness/event-log.ts";
import { failsWith } from "../harness/fails-with.ts";

describe("a projection", () => {
  it("catches up with a burst that was there before it, in order, and then follows", async () => {
    await using test = await startTestLog();
    const count = 3_000;
    await Promise.all(Array.from({ length: count }, (_, index) => test.append(index % 3 === 0 ? "b:other" : "a:counted", index)));
    const seen: number[] = [];
    const handle = (events: readonly EventRecord[]) => void seen.push(...events.map(({ seq }) => seq));
    await using projection = await test.log.project({ types: ["a:*"], handle }, new AbortController().signal);
    await projection.caughtUp;
    assert.equal(seen.length, (count / 3) * 2);
    assert.deepEqual(
      seen,
      seen.toSorted((left, right) => left - right),
    );
    await test.append("a:counted");
    await projection.reached(count + 1);
    assert.equal(seen.at(-1), count + 1);
  });

  it("goes on after its position, but from the start in another log", async () => {
    await using test = await startTestLog();
    for (let index = 0; index < 5; index++) await test.append("a:x", index);
    const read = async (after: LogPosition) => {
      const seen: unknown[] = [];
      const handle = (events: readonly EventRecord[]) => void seen.push(...events.map(({ data }) => data));
      await using projection = await test.log.project({ types: ["a:x"], after, handle }, new AbortController().signal);
      await projection.caughtUp;
      return seen;
    };
    assert.deepEqual(await read({ log: test.log.identity, seq: 3 }), [3, 4]);
    assert.deepEqual(await read({ log: "another", seq: 3 }), [0, 1, 2, 3, 4]);
  });

  it("hands the same batch again until the handler succeeds", async () => {
    await using test = await startTestLog();
    let failures = 2;
    const seen: unknown[] = [];
    await test.append("a:x", 1);
    const handle = (events: readonly EventRecord[]) => {
      if (failures-- > 0) throw new Error("not yet");
      seen.push(...events.map(({ data }) => data));
    };
    await using projection = await test.log.project({ types: ["a:x"], handle }, new AbortController().signal);
    await projection.caughtUp;
    assert.deepEqual(seen, [1]);
  });

  it("is current once it has handled all that the log holds of its types, whoever wrote it", async () => {
    await using test = await startTestLog();
    const seen: number[] = [];
    const handle = async (events: readonly EventRecord[]) => {
      await nextTurn();
      seen.push(...events.map(({ seq }) => seq));
    };
    const { signal } = new AbortController();
    await using projection = await test.log.project({ types: ["a:*", "b:y"], handle }, signal);
    await projection.current(signal);
    for (const type of ["a:x", "a:z", "b:y", "a:x", "b:other", "c:z"]) await test.append(type);
    await projection.current(signal);
    assert.deepEqual(seen, [1, 2, 3, 4]);
    await assert.rejects(projection.current(AbortSignal.abort(new Error("enough"))), /enough/);
    await test.manager.streams.delete("EVENTS");
    await assert.rejects(projection.current(signal), failsWith("EVENT_LOG_UNAVAILABLE"));
    await assert.rejects(test.log.lastSequence(), failsWith("EVENT_LOG_UNAVAILABLE"));
  });

  it("lets a wait be cancelled", async () => {
    await using test = await startTestLog();
    await using projection = await test.log.project({ types: ["a:x"], handle: () => {} }, new AbortController().signal);
    const waiting = new AbortController();
    const reached = projection.reached(99, waiting.signal);
    waiting.abort(new Error("enough"));
    await assert.rejects(reached, /enough/);
    await assert.rejects(projection.reached(99, waiting.signal), /enough/);
  });
});
