import assert from "node:assert/strict";
import { test } from "node:test";
import { createBreaker } from "../../modules/model/breaker.ts";

test("a place rests after five failures in a row, then one request tries it", () => {
  let time = 0;
  const breaker = createBreaker(() => time);
  for (let failures = 0; failures < 5; failures++) {
    assert.ok(breaker.admits("here"));
    breaker.failed("here");
  }
  assert.deepEqual([breaker.admits("here"), breaker.isResting("here"), breaker.admits("there")], [false, true, true]);
  time = 30_000;
  assert.deepEqual([breaker.admits("here"), breaker.admits("here")], [true, false], "one probe at a time");
  breaker.failed("here");
  time = 59_999;
  assert.equal(breaker.admits("here"), false);
  time = 60_000;
  assert.ok(breaker.admits("here"));
  breaker.succeeded("here");
  assert.deepEqual([breaker.admits("here"), breaker.admits("here"), breaker.isResting("here")], [true, true, false]);
});

test("a success in between begins the count anew", () => {
  const breaker = createBreaker(() => 0);
  for (let failures = 0; failures < 20; failures++) {
    breaker.failed("here");
    if (failures % 4 === 3) breaker.succeeded("here");
  }
  assert.ok(breaker.admits("here"));
});
