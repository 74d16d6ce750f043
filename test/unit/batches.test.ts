import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { batchesOf } from "../../daemon/events/batches.ts";

/** Batches of items of which each list is there at once, and the next list comes only after a batch was taken. */
async function batchesOfBursts<Item>(limit: number, ...lists: Item[][]): Promise<Item[][]> {
  let taken = Promise.withResolvers<void>();
  async function* bursts() {
    for (const list of lists) {
      yield* list;
      await taken.promise;
    }
  }
  const batches: Item[][] = [];
  for await (const batch of batchesOf(bursts(), limit)) {
    batches.push(batch);
    taken.resolve();
    taken = Promise.withResolvers();
  }
  return batches;
}

describe("batches", () => {
  it("hold what arrives together, and no more", async () => {
    assert.deepEqual(await batchesOfBursts(10, [1, 2, 3], [4], [5, 6]), [[1, 2, 3], [4], [5, 6]]);
  });

  it("are cut at the limit, and nothing is lost", async () => {
    const batches = await batchesOfBursts(2, [1, 2, 3, 4, 5]);
    assert.deepEqual(batches, [[1, 2], [3, 4], [5]]);
  });

  it("are none when nothing arrives", async () => {
    assert.deepEqual(await batchesOfBursts(2), []);
  });
});
