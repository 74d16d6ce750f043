/** Capabilities that a human has to approve, and what agents may not do, in a whole daemon. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { askerOn } from "../harness/ask.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { until } from "../harness/until.ts";

const careful = `name: careful
type: profile
version: 1.0.0
capabilities: ["emit:door:*", "routing:list", "event:query"]
approval: ["routing:list", "emit:door:opened"]
`;

interface Approval {
  id: string;
  hash: string;
  state: string;
  for: string;
  agent_id: string;
  action: { command: string; input: unknown };
}

let daemon: TestDaemon;
before(async () => {
  daemon = await startTestDaemon();
  await daemon.ask("composition:create", { type: "profile", name: "careful", content: careful });
});
after(() => daemon?.[Symbol.asyncDispose]());

const spawn = async () => (await daemon.ask<{ agent_id: string }>("agent:spawn", { profile: "careful" })).agent_id;
const pending = async (agent_id: string) =>
  (await daemon.ask<{ approvals: Approval[] }>("approval:list", { agent_id, state: "pending" })).approvals;

test("what is marked for approval waits for a human, and then happens once under the same id", async () => {
  const agent = await spawn();
  const as = (id: string) => ({ "ce-agent": agent, "ce-id": id });
  assert.equal(await daemon.codeOf("routing:list", {}, as("one")), "APPROVAL_REQUIRED");
  assert.deepEqual(
    await daemon.ask("event:emit", { event: "door:closed" }, as("other")).then(({ status }) => status),
    "emitted",
    "not marked",
  );
  const [asked, ...others] = await pending(agent);
  assert.deepEqual([asked?.for, asked?.action, others], ["routing:list", { command: "routing:list", input: {} }, []]);
  await daemon.ask("approval:decide", { id: asked?.id, hash: asked?.hash, decision: "approve", by: "Ada" });
  assert.deepEqual(await daemon.ask("routing:list", {}, as("one")), { rules: [] });
  assert.equal(await daemon.codeOf("routing:list", {}, as("two")), "APPROVAL_REQUIRED", "another message needs another approval");
});

test("a plain event that is marked is not stored before it is approved, alone or in a batch", async () => {
  const agent = await spawn();
  const head = { "ce-agent": agent };
  assert.equal(await daemon.codeOf("event:emit", { event: "door:opened", id: "open-1", data: { by: agent } }, head), "APPROVAL_REQUIRED");
  assert.equal(
    await daemon.codeOf("event:emit", { events: [{ event: "door:closed" }, { event: "door:opened", id: "open-2" }] }, head),
    "APPROVAL_REQUIRED",
  );
  const stored = async () => (await daemon.ask<{ events: { data: unknown }[] }>("event:query", { types: ["door:opened"] })).events;
  assert.deepEqual(await stored(), []);
  const asked = (await pending(agent)).find(({ action }) => JSON.stringify(action).includes(agent));
  await daemon.ask("approval:decide", { id: asked?.id, hash: asked?.hash, decision: "approve", by: "Ada" });
  await daemon.ask("event:emit", { event: "door:opened", id: "open-1", data: { by: agent } }, head);
  assert.deepEqual(
    (await stored()).map(({ data }) => data),
    [{ by: agent }],
  );
});

test("an agent that needs approval for all it does needs one for spawning an agent with a run, not two", async () => {
  await daemon.ask("composition:create", {
    type: "profile",
    name: "watched",
    content: 'name: watched\ntype: profile\nversion: 1.0.0\ncapabilities: ["*"]\napproval: ["*"]\n',
  });
  await daemon.ask("composition:create", {
    type: "orchestration",
    name: "short",
    content: "name: short\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: RETURN 1\n",
  });
  const { agent_id } = await daemon.ask<{ agent_id: string }>("agent:spawn", { profile: "watched" });
  const head = { "ce-agent": agent_id, "ce-id": "spawn-short" };
  const request = { profile: "base_orchestrator", pattern: "short" };
  assert.equal(await daemon.codeOf("agent:spawn", request, head), "APPROVAL_REQUIRED");
  const [asked] = await pending(agent_id);
  await daemon.ask("approval:decide", { id: asked?.id, hash: asked?.hash, decision: "approve", by: "Ada" });
  const { agent_id: child, run_id } = await daemon.ask<{ agent_id: string; run_id: string }>("agent:spawn", request, head);
  const { result } = await daemon.ask<{ result: unknown }>("orchestration:status", { run_id, wait: 20 });
  assert.equal(result, 1);
  const { approval } = await daemon.ask<{ approval: string[] }>("agent:info", { agent_id: child });
  assert.deepEqual(approval, ["*"], "what an agent spawns is watched as it is");
});

test("an agent cannot decide, however it asks", async () => {
  const { agent_id } = await daemon.ask<{ agent_id: string }>("agent:spawn", { profile: "base_orchestrator", capabilities: ["*"] });
  const { id, hash } = await daemon.ask<Approval>("approval:request", { action: { ask: "May I?" } });
  const decision = { id, hash, decision: "approve", by: "me" };
  const head = { "ce-agent": agent_id };
  assert.equal(await daemon.codeOf("approval:decide", decision, head), "CAPABILITY_DENIED");
  assert.equal(await daemon.codeOf("event:emit", { event: "approval:decide", data: decision }, head), "CAPABILITY_DENIED");
  assert.equal(await daemon.codeOf("event:emit", { event: "approval:decide", data: decision, delay: 0 }, head), "CAPABILITY_DENIED");
});

test("an attempt that is denied is an event with who, what and why, once", async () => {
  const agent = await spawn();
  assert.equal(
    await daemon.codeOf("event:emit", { event: "composition:delete", data: { name: "x" } }, { "ce-agent": agent }),
    "CAPABILITY_DENIED",
  );
  assert.equal(await daemon.codeOf("event:emit", { event: "window:opened" }, { "ce-agent": agent }), "CAPABILITY_DENIED");
  const { events } = await daemon.ask<{ events: { data: Record<string, string> }[] }>("event:query", { types: ["agent:denied"] });
  const told = events.filter(({ data }) => data.agent_id === agent).map(({ data }) => [data.target, data.command]);
  assert.deepEqual(told.sort(), [
    ["composition:delete", "composition:delete"],
    ["emit:window:opened", "event:emit"],
  ]);
});

test("a request that nobody decides expires, by a schedule that outlives kill -9", async () => {
  await using process = await startDaemonProcess();
  const ask = async <Reply>(command: string, body: object): Promise<Reply> => {
    const client = await connect({ servers: process.url });
    try {
      return await askerOn(client).ask<Reply>(command, body);
    } finally {
      await client.close();
    }
  };
  const { id } = await ask<Approval>("approval:request", { action: { ask: "Anybody?" }, within: 1 });
  const { id: later } = await ask<Approval>("approval:request", { action: { ask: "Somebody?" } });
  await process.kill("SIGKILL");
  await process.restart();
  await until(async () => (await ask<Approval>("approval:info", { id })).state === "expired", "the expiry");
  const { state, hash } = await ask<Approval>("approval:info", { id: later });
  assert.equal(state, "pending");
  assert.equal(
    (await ask<Approval>("approval:decide", { id: later, hash, decision: "option", option: "me", by: "Ada" })).state,
    "approved",
  );
});

/** A daemon of its own, asked anew after each restart. */
const asker =
  (url: string) =>
  async <Reply>(command: string, body: object): Promise<Reply> => {
    const client = await connect({ servers: url });
    try {
      return await askerOn(client).ask<Reply>(command, body);
    } finally {
      await client.close();
    }
  };

const gated = `name: gated
type: orchestration
version: 1.0.0
capabilities: ["composition:create", "emit:done:*"]
approval: ["composition:create"]
orchestration_logic:
  strategy: |
    CALL "composition:create" WITH {type: "component", name: "made-by-run", content: content} AS made
    EMIT "done:made" WITH {name: made.name}
    RETURN made.name
`;
const component = (name: string) => `name: ${name}\ntype: component\nversion: 1.0.0\ncontent: x\n`;

interface Status {
  state: string;
  result?: unknown;
  error?: { code: string };
  usage: { milliseconds: number };
}

test("a run waits for the approval of a step over kill -9, then does it as the human edited it, once", async () => {
  await using process = await startDaemonProcess();
  const ask = asker(process.url);
  await ask("composition:create", { type: "orchestration", name: "gated", content: gated });
  const { run_id } = await ask<{ run_id: string }>("agent:spawn", {
    profile: "base_orchestrator",
    pattern: "gated",
    inputs: { content: component("made-by-run") },
  });
  const waiting = () => ask<{ approvals: Approval[] }>("approval:list", { state: "pending", run_id }).then(({ approvals }) => approvals);
  const [asked] = await until(async () => (await waiting()).length > 0 && waiting(), "the request");
  const doing = async () => (await ask<{ doing?: { what: string }[] }>("orchestration:status", { run_id })).doing ?? [];
  await until(async () => (await doing()).some(({ what }) => /^AWAIT a human's decision on \w+/.test(what)), "its status to say so");
  await process.kill("SIGKILL");
  await process.restart();
  const played = async () => (await ask<Status>("orchestration:status", { run_id })).usage.milliseconds;
  await until(async () => (await ask<Status>("orchestration:status", { run_id })).state === "running", "the run");
  const before = await played();
  assert.equal((await waiting()).length, 1, "it is not asked twice");
  const input = { type: "component", name: "made-by-hand", content: component("made-by-hand") };
  const edit = { command: "composition:create", input };
  await ask("approval:decide", { id: asked?.id, hash: asked?.hash, decision: "approve", edit, by: "Ada" });
  const ended = async () => {
    const status = await ask<Status>("orchestration:status", { run_id, wait: 20 });
    return status.state !== "running" && status;
  };
  const { state, result, error } = await until(ended, "the end of the run", 60_000);
  assert.deepEqual([state, result, error], ["completed", "made-by-hand", undefined]);
  assert.ok(before < 60_000, "a run that waits for a human plays no time");
  const { compositions } = await ask<{ compositions: { name: string }[] }>("composition:list", {});
  assert.deepEqual(
    compositions.map(({ name }) => name).filter((name) => name.startsWith("made-by")),
    ["made-by-hand"],
  );
});

test("a run whose step is denied meets an error that it may handle", async () => {
  await daemon.ask("composition:create", { type: "orchestration", name: "gated", content: gated });
  const { run_id } = await daemon.ask<{ run_id: string }>("agent:spawn", {
    profile: "base_orchestrator",
    pattern: "gated",
    inputs: { content: component("made-by-run") },
  });
  const waiting = () =>
    daemon.ask<{ approvals: Approval[] }>("approval:list", { state: "pending", run_id }).then(({ approvals }) => approvals);
  const [asked] = await until(async () => (await waiting()).length > 0 && waiting(), "the request");
  await daemon.ask("approval:decide", { id: asked?.id, hash: asked?.hash, decision: "deny", by: "Ada" });
  const { state, error } = await daemon.ask<Status>("orchestration:status", { run_id, wait: 20 });
  assert.deepEqual([state, error?.code], ["failed", "APPROVAL_DENIED"]);
});
