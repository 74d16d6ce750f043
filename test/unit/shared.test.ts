import assert from "node:assert/strict";
import { test } from "node:test";
import { shared } from "../../daemon/shared.ts";

test("those that come while it is under way share the next; a failure is told to those who share it alone", async () => {
  const works: PromiseWithResolvers<number>[] = [];
  const work = shared(() => {
    const one = Promise.withResolvers<number>();
    works.push(one);
    return one.promise;
  });
  const first = work();
  await Promise.resolve();
  const others = [work(), work()];
  assert.equal(works.length, 1);
  works[0]?.reject(new Error("failed"));
  await assert.rejects(first, /failed/);
  assert.equal(works.length, 2);
  works[1]?.resolve(2);
  assert.deepEqual(await Promise.all(others), [2, 2]);
  const last = work();
  await Promise.resolve();
  works[2]?.resolve(3);
  assert.equal(await last, 3);
});
