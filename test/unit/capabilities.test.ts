import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { covers, emitTarget, intersect, toolTarget } from "../../daemon/capabilities.ts";

test("a pattern covers the commands it names and no others", () => {
  assert.equal(covers(["composition:*"], "composition:fork"), true);
  assert.equal(covers(["composition:*"], "agent:spawn"), false);
  assert.equal(covers(["*:list"], "tool:list"), true);
  assert.equal(covers(["*"], "agent:spawn"), true);
  assert.equal(covers([], "agent:spawn"), false);
});

test("no list of capabilities means no restriction", () => {
  assert.equal(covers(undefined, "agent:spawn"), true);
  assert.deepEqual(intersect(undefined, ["agent:spawn"]), ["agent:spawn"]);
  assert.deepEqual(intersect(["agent:spawn"], undefined), ["agent:spawn"]);
  assert.equal(intersect(undefined, undefined), undefined);
});

test("a tool is covered by its own name or by all tools", () => {
  assert.equal(covers(["tool:compress"], toolTarget("compress")), true);
  assert.equal(covers(["tool:compress"], toolTarget("erase")), false);
  assert.equal(covers(["tool:*"], toolTarget("erase")), true);
});

test("event:emit covers plain events and no command", () => {
  assert.equal(covers(["event:emit"], emitTarget("monitoring:alert")), true);
  assert.equal(covers(["event:*"], emitTarget("monitoring:alert")), true);
  assert.equal(covers(["event:emit"], "agent:spawn"), false);
  assert.equal(covers(["event:query"], emitTarget("monitoring:alert")), false);
});

test("emit:PATTERN covers only the plain events that fit, and never a command of the same name", () => {
  assert.equal(covers(["emit:monitoring:*"], emitTarget("monitoring:alert")), true);
  assert.equal(covers(["emit:monitoring:*"], emitTarget("billing:paid")), false);
  assert.equal(covers(["emit:agent:spawn"], "agent:spawn"), false);
  assert.equal(covers(["agent:spawn"], emitTarget("agent:spawn")), false);
  assert.equal(covers(["emit:*"], emitTarget("billing:paid")), true);
  assert.equal(covers(["emit:*"], "event:emit"), false);
});

test("an intersection keeps the narrower of two patterns, without repeats", () => {
  assert.deepEqual(intersect(["composition:*", "agent:spawn"], ["composition:get", "agent:*", "*:spawn"]), [
    "agent:spawn",
    "composition:get",
    "composition:spawn",
  ]);
  assert.deepEqual(intersect(["event:emit"], ["emit:a:*"]), ["emit:a:*"]);
  assert.deepEqual(intersect(["composition:*"], ["agent:*"]), []);
});

const part = fc.constantFrom("a", "b", "event", "emit", "*");
const concrete = fc.constantFrom("a", "b", "event", "emit");
const namePattern = fc.oneof(
  fc.constant("*"),
  fc.tuple(fc.constantFrom("a", "b", "event", "*"), part).map(([domain, action]) => `${domain}:${action}`),
);
const capability = fc.oneof(
  namePattern,
  namePattern.map((pattern) => `emit:${pattern}`),
);
const target = fc
  .tuple(fc.boolean(), fc.constantFrom("a", "b", "event"), concrete)
  .map(([event, domain, action]) => (event ? emitTarget(`${domain}:${action}`) : `${domain}:${action}`));

test("an intersection allows a target exactly when both sides do", () => {
  fc.assert(
    fc.property(fc.array(capability, { maxLength: 5 }), fc.array(capability, { maxLength: 5 }), target, (left, right, name) => {
      assert.equal(covers(intersect(left, right), name), covers(left, name) && covers(right, name));
    }),
    { numRuns: 5000 },
  );
});
