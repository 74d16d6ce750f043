import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DeadLetter } from "../../daemon/events/dead-letters.ts";
import { startTestLog } from "../harness/event-log.ts";

const letter = (listener: string, seq: number, data: unknown = null): DeadLetter => ({
  listener,
  reason: "a test",
  deliveries: 5,
  failed_at: new Date(0).toISOString(),
  event: { id: `event-${seq}`, type: "a:b", time: "", source: "test", data, correlation: `event-${seq}`, hops: 0, seq },
});

describe("dead letters", () => {
  it("are listed oldest first, by listener, in pages that miss and repeat none", async () => {
    await using test = await startTestLog();
    for (let seq = 1; seq <= 10; seq++) await test.deadLetters.add(letter(seq % 2 === 0 ? "even" : "odd", seq));
    const first = await test.deadLetters.list({ listener: "even", limit: 3 });
    const second = await test.deadLetters.list({ listener: "even", limit: 3, ...(first.cursor !== undefined && { cursor: first.cursor }) });
    assert.deepEqual(
      [first, second].map(({ letters }) => letters.map(({ event }) => event.seq)),
      [
        [2, 4, 6],
        [8, 10],
      ],
    );
    assert.equal(second.cursor, undefined);
  });

  it("come in pages of bounded size, a letter that is larger alone", async () => {
    await using test = await startTestLog();
    const sizes = [200_000, 200_000, 200_000, 700_000, 10];
    for (const [index, size] of sizes.entries()) await test.deadLetters.add(letter("one", index + 1, "x".repeat(size)));
    const pages: number[][] = [];
    for (let cursor: string | undefined = "0"; cursor !== undefined; ) {
      const page: Awaited<ReturnType<typeof test.deadLetters.list>> = await test.deadLetters.list({ limit: 100, cursor });
      pages.push(page.letters.map(({ event }) => event.seq));
      cursor = page.cursor;
    }
    assert.deepEqual(pages, [[1, 2], [3], [4], [5]]);
  });

  it("are not doubled when the daemon ends between a letter and the acknowledgement of its event", async () => {
    await using test = await startTestLog();
    await test.deadLetters.add(letter("one", 1));
    await test.deadLetters.add({ ...letter("one", 1), reason: "again", deliveries: 6 });
    await test.deadLetters.add(letter("other", 1));
    const { letters } = await test.deadLetters.list({ limit: 10 });
    assert.deepEqual(
      letters.map(({ listener, deliveries }) => [listener, deliveries]),
      [
        ["one", 5],
        ["other", 5],
      ],
    );
  });

  it("tell schedules apart that were made under one id, one after the other", async () => {
    await using test = await startTestLog();
    const scheduled = (time: string): DeadLetter => {
      const made = letter("schedule", 0);
      return { ...made, event: { ...made.event, time } };
    };
    await test.deadLetters.add(scheduled("2026-01-01T00:00:00.000Z"));
    const [first] = (await test.deadLetters.list({ limit: 10 })).letters;
    await test.deadLetters.remove(first?.id ?? "");
    await test.deadLetters.add(scheduled("2026-01-01T00:00:01.000Z"));
    assert.equal((await test.deadLetters.list({ limit: 10 })).letters.length, 1);
  });

  it("are not found under an id that none has", async () => {
    await using test = await startTestLog();
    for (const id of ["1", "999", "x", "-1"]) await assert.rejects(test.deadLetters.get(id), { code: "DEAD_LETTER_NOT_FOUND" });
  });
});
