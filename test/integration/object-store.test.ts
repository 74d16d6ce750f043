import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, it, mock } from "node:test";
import { openObjectStore } from "../../daemon/nats/object-store.ts";
import { startTestLog } from "../harness/event-log.ts";

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("the store of large contents", () => {
  it("keeps bytes of any size under their hash, the same ones once", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    for (const bytes of [new Uint8Array(), Buffer.from("small"), randomBytes(3_000_000)]) {
      const sha256 = await objects.put(bytes);
      assert.equal(sha256, hashOf(bytes));
      assert.deepEqual(Buffer.from((await objects.get(sha256)) ?? "missing"), Buffer.from(bytes));
      const { state } = await test.manager.streams.info("OBJ_large");
      assert.equal(state.consumer_count, 0, "reading leaves nothing behind");
      await objects.put(bytes);
      assert.equal((await test.manager.streams.info("OBJ_large")).state.messages, state.messages);
    }
  });

  it("knows nothing of what was never put or was deleted", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const sha256 = await objects.put(Buffer.from("gone"));
    await objects.delete(sha256);
    await objects.delete(sha256);
    assert.equal(await objects.get(sha256), undefined);
    assert.equal(await objects.get(hashOf(Buffer.from("never"))), undefined);
    assert.equal(await objects.put(Buffer.from("gone")), sha256);
    assert.ok(await objects.get(sha256));
  });

  it("does not hand out an object that is not what its name says, and mends it when it is put again", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const bytes = randomBytes(300_000);
    const sha256 = await objects.put(bytes);
    const stored = await test.manager.streams.getMessage("OBJ_large", { seq: 1 });
    assert.ok(stored);
    await test.client.publish(stored.subject, "more than was put");
    assert.equal(await objects.get(sha256), undefined);
    assert.equal(await objects.put(bytes), sha256);
    assert.ok(await objects.get(sha256));
  });

  it("lists what nobody has put for a while, and deletes it unless somebody puts it meanwhile", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const [kept, gone] = [await objects.put(Buffer.from("kept")), await objects.put(Buffer.from("gone"))];
    const long = Date.now() + 60_000;
    assert.deepEqual(await objects.list(Date.now() - 60_000), []);
    const listed = await objects.list(long);
    assert.deepEqual(
      listed.map(({ sha256, bytes }) => ({ sha256, bytes })),
      [kept, gone].map((sha256) => ({ sha256, bytes: 4 })),
    );
    await objects.put(Buffer.from("kept"));
    assert.deepEqual(await Promise.all(listed.map((one) => objects.delete(one.sha256, one))), [false, true]);
    assert.ok(await objects.get(kept));
    assert.equal(await objects.get(gone), undefined);
    const { state } = await test.manager.streams.info("OBJ_large");
    assert.equal(state.messages, 2, "of what is deleted nothing is left");
  });

  it("lists a deletion that was cut short, and finishes it", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const sha256 = await objects.put(Buffer.from("half gone"));
    const cut = mock.method(Object.getPrototypeOf(test.manager.streams), "purge", () => Promise.reject(new Error("killed")));
    await assert.rejects(objects.delete(sha256), /killed/);
    cut.mock.restore();
    assert.equal(await objects.get(sha256), undefined);
    const [left] = await objects.list(Date.now() + 60_000);
    assert.equal(left?.sha256, sha256);
    assert.equal(await objects.delete(sha256, left), true);
    assert.equal((await test.manager.streams.info("OBJ_large")).state.messages, 0);
  });

  it("keeps what is put and deleted at the same time, or knows that it is gone", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const bytes = randomBytes(200_000);
    for (let round = 0; round < 30; round++) {
      const sha256 = await objects.put(bytes);
      const [listed] = await objects.list(Date.now() + 60_000);
      await Promise.all([objects.put(bytes), objects.delete(sha256, listed), objects.put(bytes)]);
      assert.ok(await objects.get(sha256), `round ${round}: somebody has put it, and it is not there`);
    }
  });

  it("tidies up what a put that was cut short has left", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const whole = await objects.put(randomBytes(300_000));
    await test.client.publish("$O.large.C.cut", "a part of something");
    assert.equal(await objects.tidy(Date.now() - 60_000), 0, "it may still be finished");
    assert.equal(await objects.tidy(Date.now() + 60_000), 1);
    assert.equal(await objects.tidy(Date.now() + 60_000), 0);
    assert.ok(await objects.get(whole));
  });

  it("gives up an object of which a part is gone", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const sha256 = await objects.put(Buffer.from("the only part"));
    await test.manager.streams.deleteMessage("OBJ_large", 1);
    assert.equal(await objects.get(sha256), undefined);
  });
});
