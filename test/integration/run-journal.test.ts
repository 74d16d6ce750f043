import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { openRunJournal } from "../../daemon/nats/run-journal.ts";
import { createSeal } from "../../daemon/seal.ts";
import { startTestLog } from "../harness/event-log.ts";

const seal = createSeal("test");

describe("the journal of a run", () => {
  it("is read in order, among other runs, without a round trip an entry", async () => {
    await using test = await startTestLog();
    const journal = openRunJournal({ ...test, seal });
    const entries = Array.from({ length: 60 }, (_, index) => ({ step: index }));
    for (const [index, entry] of entries.entries()) {
      assert.equal(await journal.append("one", index, entry), "appended");
      assert.equal(await journal.append("other", index, entry), "appended");
    }
    const published = mock.method(test.connection, "publish");
    const requested = mock.method(test.connection, "request");
    assert.deepEqual(await journal.read("one"), entries);
    assert.ok(published.mock.callCount() + requested.mock.callCount() <= 2);
    assert.deepEqual(await journal.read("none"), []);
  });

  it("is read completely when it is larger than what is read at once", async () => {
    await using test = await startTestLog();
    const journal = openRunJournal({ ...test, seal });
    const large = "x".repeat(900_000);
    for (let index = 0; index < 12; index++) await journal.append("large", index, { index, large });
    const read = await journal.read<{ index: number }>("large");
    assert.deepEqual(
      read.map(({ index }) => index),
      Array.from({ length: 12 }, (_, index) => index),
    );
  });

  it("takes an entry from one of two writers only", async () => {
    await using test = await startTestLog();
    const [first, second] = [openRunJournal({ ...test, seal }), openRunJournal({ ...test, seal })];
    const outcomes = await Promise.all([first.append("run", 0, "a"), second.append("run", 0, "b")]);
    assert.deepEqual(outcomes.toSorted(), ["appended", "conflict"]);
  });

  it("is gone when it is deleted, and takes nothing more from whoever wrote it", async () => {
    await using test = await startTestLog();
    const [writer, other] = [openRunJournal({ ...test, seal }), openRunJournal({ ...test, seal })];
    for (const run of ["gone", "kept"]) for (const index of [0, 1]) await writer.append(run, index, { index });
    await other.delete("gone");
    assert.equal(await writer.append("gone", 2, { index: 2 }), "conflict");
    assert.deepEqual([await writer.read("gone"), await other.read("gone")], [[], []]);
    assert.equal((await other.read("kept")).length, 2);
  });

  it("leaves no subscription behind", async () => {
    await using test = await startTestLog();
    const journal = openRunJournal({ ...test, seal });
    await journal.append("run", 0, "entry");
    const subscribed = mock.method(test.connection, "subscribe");
    for (let read = 0; read < 5; read++) await journal.read("run");
    assert.equal(subscribed.mock.callCount(), 5);
    for (const { result } of subscribed.mock.calls) assert.equal(result?.isClosed(), true);
  });
});
