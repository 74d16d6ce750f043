import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Caller, Guard } from "../../daemon/module.ts";
import { canonical, hashOf } from "../../modules/approval/canonical.ts";
import { gateOf } from "../../modules/approval/gate.ts";
import approval from "../../modules/approval/index.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { startModule, type TestHandler, type TestOptions } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

/** The module with a fake of the schedules. */
async function start(options: TestOptions = {}) {
  const scheduled: { id: string; at: string }[] = [];
  const cancelled: string[] = [];
  const module = await startModule(approval, {
    ...options,
    handlers: {
      "event:emit": ((schedule: (typeof scheduled)[0]) => scheduled.push(schedule)) as TestHandler,
      "event:cancel": (({ id }: { id: string }) => cancelled.push(id)) as TestHandler,
    },
  });
  return { module, scheduled, cancelled, [Symbol.asyncDispose]: () => module[Symbol.asyncDispose]() };
}

const action = { command: "tool:call", input: { name: "shell", arguments: { line: "rm -r build" } } };
const agent: { caller: Caller } = { caller: { kind: "agent", id: "A" } };
const own: { caller: Caller } = { caller: { kind: "module", id: "approval" } };

describe("the hash of an action", () => {
  it("is the same for the same action, however its keys stand", () => {
    assert.equal(hashOf({ b: [1, { d: null, c: "é" }], a: 1e21 }), hashOf({ a: 1e21, b: [1, { c: "é", d: null }] }));
    assert.notEqual(hashOf({ a: 1 }), hashOf({ a: "1" }));
    assert.notEqual(hashOf({ a: [1, 2] }), hashOf({ a: [2, 1] }));
  });

  it("is that of canonical JSON: an example of RFC 8785", () => {
    const value = {
      "€": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "😀": "Emoji: Grinning Face",
      "\u0080": "Control",
      ö: "Latin Small Letter O With Diaeresis",
    };
    const order = ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"];
    const places = order.map((text) => canonical(value).indexOf(text));
    assert.deepEqual(
      places,
      places.toSorted((left, right) => left - right),
    );
    assert.equal(canonical([1e30, 4.5, 6e-3, 1e-27, undefined]), "[1e+30,4.5,0.006,1e-27,null]");
  });
});

test("what is asked waits, with the time kept by a schedule", async () => {
  await using started = await start();
  const { module, scheduled } = started;
  const asked = await module.call(
    "approval:request",
    { action, within: 60, reason: "cleaning up" },
    { ...agent, meta: { id: "R/3", run: "R" } },
  );
  assert.deepEqual([asked.state, asked.agent_id, asked.run_id, asked.hash], ["pending", "A", "R", hashOf(action)]);
  assert.equal(Date.parse(asked.expires_at) - Date.parse(asked.requested_at), 60_000);
  assert.deepEqual(scheduled, [{ event: "approval:expire", data: { id: asked.id }, at: asked.expires_at, id: `${asked.id}/expiry` }]);
  assert.deepEqual(await module.call("approval:request", { action }, { ...agent, meta: { id: "R/3" } }), asked, "the same message");
  assert.deepEqual((await module.call("approval:list", { state: "pending", request: "R/3" })).approvals, [asked]);
});

test("a decision on exactly the action is final", async () => {
  await using started = await start();
  const { module, cancelled } = started;
  const { id, hash } = await module.call("approval:request", { action });
  await assert.rejects(module.call("approval:decide", { id, hash: hashOf({}), decision: "approve", by: "Ada" }), {
    code: "APPROVAL_MISMATCH",
  });
  const decided = await module.call("approval:decide", { id, hash, decision: "approve", by: "Ada", reason: "fine" });
  assert.deepEqual([decided.state, decided.by, decided.decided_reason], ["approved", "Ada", "fine"]);
  await assert.rejects(module.call("approval:decide", { id, hash, decision: "deny", by: "Bob" }), { code: "APPROVAL_DECIDED" });
  assert.equal((await module.call("approval:expire", { id }, own)).state, "approved", "too late to expire");
  assert.deepEqual(cancelled, [`${id}/expiry`]);
  assert.deepEqual(
    module.log.records.map(({ type }) => type),
    ["approval:requested", "approval:decided"],
  );
});

test("what the log tells of a request that another daemon took is known here as soon as anybody asks", async () => {
  await using here = await start();
  const { module } = here;
  await using there = await start({ log: module.log });
  const held = module.log.hold();
  const as = { ...agent, meta: { id: "R/3", run: "R" } };
  const { id, hash } = await there.module.call("approval:request", { action }, as);
  const asked = [
    module.call("approval:info", { id }),
    module.call("approval:request", { action }, as),
    module.call("approval:decide", { id, hash, decision: "deny", by: "Ada" }),
  ];
  for (const one of asked) one.catch(() => {}); // asserted below
  await nextTurn();
  held[Symbol.dispose]();
  assert.deepEqual(
    (await Promise.all(asked)).map((approval) => approval.id),
    [id, id, id],
  );
});

test("of decisions that race, one wins", async () => {
  await using started = await start();
  const { module } = started;
  const { id, hash } = await module.call("approval:request", { action });
  const decide = (decision: string) => module.call("approval:decide", { id, hash, decision, by: "Ada" });
  const outcomes = await Promise.allSettled([decide("approve"), decide("deny"), module.call("approval:expire", { id }, own)]);
  const events = module.log.ofType("approval:decided", "approval:expired");
  assert.equal(events.length, 1, JSON.stringify(outcomes));
  assert.equal((await module.call("approval:info", { id })).state, (events[0]?.data as { state?: string } | undefined)?.state);
});

test("an agent never decides, nor does a module, and nobody makes a request expire", async () => {
  await using started = await start();
  const { module } = started;
  const { id, hash } = await module.call("approval:request", { action });
  for (const caller of [agent.caller, { ...agent.caller, capabilities: ["*"] }, own.caller]) {
    await assert.rejects(module.call("approval:decide", { id, hash, decision: "approve", by: "me" }, { caller }), {
      code: "CAPABILITY_DENIED",
    });
  }
  for (const as of [undefined, agent]) await assert.rejects(module.call("approval:expire", { id }, as), { code: "CAPABILITY_DENIED" });
  await assert.rejects(module.call("approval:info", { id: "nobody" }), { code: "APPROVAL_NOT_FOUND" });
});

test("an answer is one of the options, or any where there are none", async () => {
  await using started = await start();
  const { module } = started;
  const ask = (options?: unknown[]) => module.call("approval:request", { action: { ask: "Which?" }, ...(options && { options }) });
  const choose = ({ id, hash }: { id: string; hash: string }, option?: unknown) =>
    module.call("approval:decide", { id, hash, decision: "option", by: "Ada", ...(option !== undefined && { option }) });
  const closed = await ask(["red", { shade: "blue" }]);
  await assert.rejects(choose(closed, "green"), { code: "REQUEST_INVALID" });
  await assert.rejects(choose(closed), { code: "REQUEST_INVALID" });
  assert.deepEqual((await choose(closed, { shade: "blue" })).option, { shade: "blue" });
  assert.equal((await choose(await ask(), "as you like")).state, "approved");
});

test("an agent may wait for a hundred decisions at a time", async () => {
  await using started = await start();
  const { module } = started;
  for (let index = 0; index < 100; index++) await module.call("approval:request", { action }, agent);
  await assert.rejects(module.call("approval:request", { action }, agent), { code: "RUN_LIMIT_EXCEEDED" });
  await module.call("approval:request", { action }, { caller: { kind: "agent", id: "B" } });
});

test("a request expires, and is withdrawn with the run that asked", async () => {
  await using started = await start();
  const { module } = started;
  const { id } = await module.call("approval:request", { action });
  assert.equal((await module.call("approval:expire", { id }, own)).state, "expired");
  const { id: other } = await module.call("approval:request", { action, run_id: "R" });
  module.publish("orchestration:failed", { run_id: "R" });
  await until(async () => (await module.call("approval:info", { id: other })).state === "withdrawn", "the withdrawal");
});

test("what was asked and decided is known after a restart, and what waits gets its time again", async () => {
  const log = new MemoryEventLog();
  const first = await start({ log });
  const waiting = await first.module.call("approval:request", { action });
  const { id, hash } = await first.module.call("approval:request", { action });
  await first.module.call("approval:decide", { id, hash, decision: "deny", by: "Ada" });
  await first[Symbol.asyncDispose]();
  await using second = await start({ log });
  await until(() => second.scheduled.length > 0, "the schedule");
  assert.deepEqual(
    second.scheduled.map((schedule) => schedule.id),
    [`${waiting.id}/expiry`],
  );
  assert.deepEqual(
    (await second.module.call("approval:list", {})).approvals.map(({ state }: { state: string }) => state),
    ["denied", "pending"],
  );
  assert.equal((await second.module.call("approval:decide", { id: waiting.id, hash, decision: "approve", by: "Ada" })).state, "approved");
});

describe("the gate", () => {
  const attempt = (id = "R/1", input: unknown = action.input): Parameters<Guard>[0] => ({
    command: "tool:call",
    input,
    target: "tool:shell",
    caller: agent.caller,
    meta: { id, correlation: id, hops: 0, run: "R" },
  });

  it("asks a human, and lets exactly what was approved through, for one message", async () => {
    await using started = await start();
    const { module } = started;
    const gate = gateOf(module.state);
    await assert.rejects(gate(attempt()), { code: "APPROVAL_REQUIRED" });
    await assert.rejects(gate(attempt()), { code: "APPROVAL_REQUIRED" });
    const [asked, ...others] = (await module.call("approval:list", {})).approvals;
    assert.deepEqual([others, asked.for, asked.agent_id, asked.run_id, asked.action], [[], "tool:shell", "A", "R", action]);
    await module.call("approval:decide", { id: asked.id, hash: asked.hash, decision: "approve", by: "Ada" });
    await gate(attempt());
    await gate(attempt());
    assert.equal(module.log.ofType("approval:used").length, 1, "told before it is done, once");
    await assert.rejects(gate(attempt("R/1", { name: "shell", arguments: { line: "rm -r /" } })), { code: "APPROVAL_MISMATCH" });
    await assert.rejects(gate(attempt("R/2")), { code: "APPROVAL_REQUIRED" }, "another message is another request");
  });

  it("lets what a human edited through in place of what was asked", async () => {
    await using started = await start();
    const { module } = started;
    const gate = gateOf(module.state);
    await assert.rejects(gate(attempt()), { code: "APPROVAL_REQUIRED" });
    const [{ id, hash }] = (await module.call("approval:list", {})).approvals;
    const input = { name: "shell", arguments: { line: "rm -r build/old" } };
    const edited = await module.call("approval:decide", {
      id,
      hash,
      decision: "approve",
      edit: { command: "tool:call", input },
      by: "Ada",
    });
    assert.deepEqual([edited.action, edited.decided_hash], [action, hashOf({ command: "tool:call", input })]);
    await assert.rejects(gate(attempt()), { code: "APPROVAL_MISMATCH" });
    await gate(attempt("R/1", input));
  });

  it("does not stand before asking", async () => {
    await using started = await start();
    await gateOf(started.module.state)({ ...attempt(), command: "approval:request", target: "approval:request" });
    assert.deepEqual((await started.module.call("approval:list", {})).approvals, []);
  });

  it("stays closed once it was denied", async () => {
    await using started = await start();
    const { module } = started;
    const gate = gateOf(module.state);
    await assert.rejects(gate(attempt()), { code: "APPROVAL_REQUIRED" });
    const [{ id, hash }] = (await module.call("approval:list", {})).approvals;
    await assert.rejects(module.call("approval:decide", { id, hash, decision: "deny", edit: {}, by: "Ada" }), { code: "REQUEST_INVALID" });
    await module.call("approval:decide", { id, hash, decision: "deny", by: "Ada", reason: "no" });
    await assert.rejects(gate(attempt()), { code: "APPROVAL_DENIED", message: /denied. no/ });
  });
});
