import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openStateStore } from "../../daemon/nats/state-store.ts";
import { createSeal } from "../../daemon/seal.ts";
import { startTestLog } from "../harness/event-log.ts";

describe("the store of small states", () => {
  it("deletes at a revision only what is still there", async () => {
    await using test = await startTestLog();
    const store = openStateStore(test.client, "small", createSeal("secret"));
    const first = await store.put("lease", "mine", 0);
    const second = await store.put("lease", "another's", first);
    await store.delete("lease", first);
    assert.deepEqual(await store.get("lease"), { value: "another's", revision: second });
    await store.delete("lease", second);
    assert.equal(await store.get("lease"), undefined);
    await store.put("lease", "again", 0);
    await store.delete("lease");
    assert.equal(await store.get("lease"), undefined);
  });
});
