import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { describe, it } from "node:test";
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
      assert.equal((await test.manager.streams.info("OBJ_large")).state.last_seq, state.last_seq);
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

  it("gives up an object of which a part is gone", async () => {
    await using test = await startTestLog();
    const objects = openObjectStore(test.client, "large");
    const sha256 = await objects.put(Buffer.from("the only part"));
    await test.manager.streams.deleteMessage("OBJ_large", 1);
    assert.equal(await objects.get(sha256), undefined);
  });
});
