/** Ids that the daemon derives: nobody outside can give one first, and so have an event of the daemon's taken for a repetition. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { isOwnId } from "../../daemon/events/message-ids.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { patternText } from "../harness/play-text.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";

interface Approval {
  readonly id: string;
  readonly hash: string;
  readonly state: string;
  readonly action: { readonly ask: string };
  readonly run_id?: string;
}

let daemon: TestDaemon;
before(async () => {
  daemon = await startTestDaemon();
});
after(() => daemon?.[Symbol.asyncDispose]());

const stored = () => readStoredEvents({ url: daemon.daemon.natsUrl, data: daemon.config.data });

/** Tries to give the id first, in all ways that a client has; the refusals are asserted where the test is about them. */
async function preempt(id: string, head: Record<string, string> = {}): Promise<string[]> {
  const codes: string[] = [];
  const event = "guess:made";
  for (const body of [{ event, id }, { events: [{ event, id }] }, { event, id, delay: 0 }, { event: "system:ping", id }]) {
    codes.push(
      await daemon.ask("event:emit", body, head).then(
        () => "stored",
        (error: Error) => /"code":"(\w+)"/.exec(error.message)?.[1] ?? String(error),
      ),
    );
  }
  await daemon.ask("event:emit", { event, data: "by the request's own id" }, { ...head, "ce-id": id });
  return codes;
}

const refusedAll = Array(4).fill("REQUEST_INVALID");

async function begin(strategy: string, name: string, fields = ""): Promise<string> {
  await daemon.ask("composition:create", { type: "orchestration", name, content: patternText(strategy, fields, name) });
  return (await daemon.ask<{ run_id: string }>("agent:spawn", { profile: "base_orchestrator", pattern: name })).run_id;
}

const ended = (run_id: string) =>
  daemon.ask<{ state: string; result: unknown; error?: { code: string; message: string } }>("orchestration:status", { run_id, wait: 20 });

const stepIds = (run: string) => Array.from({ length: 8 }, (_, index) => `${run}/${index + 1}`);

describe("an id that the daemon derives", () => {
  it("of an outcome: the outcome counts, whatever was emitted before", async () => {
    const { decision_id } = await daemon.ask("policy:select", { slot: "lamp", candidates: [{ id: "red" }, { id: "green" }] });
    for (const id of [`outcome-${decision_id}`, `${decision_id}/outcome`]) await preempt(id);
    assert.deepEqual(await preempt(`${decision_id}/outcome`), refusedAll);
    assert.deepEqual(await daemon.ask("policy:outcome", { decision_id, reward: 1 }), { joined: true });
  });

  it("of the end of an approval: the approval is decided", async () => {
    const { id, hash } = await daemon.ask<Approval>("approval:request", { action: { ask: "May I?" } }, { "ce-id": "may-i" });
    for (const guess of [`${id}/ended`, `${id}/used`, `${id}/expiry`]) assert.deepEqual(await preempt(guess), refusedAll, guess);
    await daemon.ask("approval:decide", { id, hash, decision: "approve", by: "Ada" });
    assert.equal((await daemon.ask<Approval>("approval:info", { id })).state, "approved");
  });

  it("of a request under an id that a client chose: the request is answered", async () => {
    for (const id of ["ask-7/approval", "ask-7~approval"]) await preempt(id);
    const { id } = await daemon.ask<Approval>("approval:request", { action: { ask: "May I?" } }, { "ce-id": "ask-7" });
    assert.equal((await daemon.ask<Approval>("approval:info", { id })).state, "pending");
    for (const guess of ["spawn-7/1/spawned", "spawn-7~1/spawned"]) await preempt(guess);
    const { agent_id } = await daemon.ask("agent:spawn", { profile: "base_orchestrator" }, { "ce-id": "spawn-7" });
    const { state } = await daemon.ask("agent:info", { agent_id });
    assert.equal(state, "active");
  });

  it("of a decision's outcome: the decision is resolved", async () => {
    await daemon.ask("composition:create", { type: "orchestration", name: "decided", content: patternText("RETURN 1", "", "decided") });
    for (const head of [{}, { "ce-id": "decision-7" }] as Record<string, string>[]) {
      const { id } = await daemon.ask("composition:track_decision", { pattern: "decided", decision: "tea" }, head);
      for (const guess of [`composition:decision_resolved:${id}`, `${id}/resolved`, `${id}~resolved`]) {
        await preempt(guess);
        await daemon.ask("composition:track_decision", { pattern: "decided", decision: "mine" }, { "ce-id": guess });
      }
      const { commit } = await daemon.ask("composition:resolve_decision", { id, outcome: "hot", wait: "commit" });
      assert.ok(commit);
    }
  });

  it("of an agent's reply: the reply comes", async () => {
    const content =
      'name: parrot\ntype: profile\nversion: 1.0.0\nanswers:\n  - reply: message\n    emit: [{event: "parrot:spoke", data: message}]\n';
    await daemon.ask("composition:create", { type: "profile", name: "parrot", content });
    const { agent_id: to } = await daemon.ask("agent:spawn", { profile: "parrot" });
    const { agent_id: other } = await daemon.ask("agent:spawn", { profile: "parrot" });
    const guesses = ["reply", "reply/sent", "event-1"].flatMap((part) => [`hello-7/${part}`, `hello-7~${part}`]);
    for (const id of guesses) {
      await preempt(id);
      await daemon.ask("agent:send", { to: other, message: "forged" }, { "ce-id": id });
    }
    await daemon.ask("agent:send", { to, message: "hello", expects_reply: true }, { "ce-id": "hello-7" });
    await until(async () => {
      const events = await stored();
      return (
        events.some(({ type, data }) => type === "agent:message_sent" && data.in_reply_to === "hello-7" && data.from === to) &&
        events.some(({ type, data }) => type === "parrot:spoke" && (data as unknown) === "hello")
      );
    }, "the reply, and the event that goes with it");
  });

  it("of a rule's event: the rule emits", async () => {
    await daemon.ask("routing:add", { id: "rule-7", event: "smoke:seen", emit: "alarm:rung" });
    const hash = createHash("sha256").update("rule-7\nsmoke-7").digest("base64url").slice(0, 32);
    for (const id of [hash, `${hash}~routed`]) await preempt(id);
    await daemon.ask("event:emit", { event: "smoke:seen", id: "smoke-7" });
    await until(async () => (await stored()).some(({ type }) => type === "alarm:rung"), "the alarm");
  });

  it("of a run's next event: the event is there, by the run", async () => {
    const run = await begin("AWAIT starter:gave_way WITHIN 20s\nEVENT race:started {by: 'run'}\nRETURN 1", "racer");
    for (const id of stepIds(run)) assert.deepEqual(await preempt(id), refusedAll, id);
    await daemon.ask("event:emit", { event: "starter:gave_way" });
    assert.equal((await ended(run)).state, "completed");
    const started = (await stored()).filter(({ type }) => type === "race:started");
    assert.deepEqual(
      started.map(({ run: by, data }) => [by, data]),
      [[run, { by: "run" }]],
    );
    const ids = (await stored()).filter(({ type }) => type === "guess:made").map(({ id }) => id);
    assert.deepEqual(
      ids.filter((id) => id.startsWith(`${run}/`)),
      [],
    );
  });

  it("of a step does not answer the run's questions when a client asks under it", async () => {
    const strategy = [
      "AWAIT quiz:opened WITHIN 20s",
      "CHOOSE colour FROM ['red'] AS chosen",
      "ASK 'Go on?' AS on",
      "SPAWN {profile: 'base_orchestrator', task: 'mine'} AS one",
      "RETURN {chosen, on, one}",
    ].join("\n");
    const run = await begin(strategy, "quiz");
    const agent = (await daemon.ask<{ agents: { agent_id: string; run_id: string }[] }>("agent:list", {})).agents.find(
      ({ run_id }) => run_id === run,
    )?.agent_id as string;
    for (const head of [{}, { "ce-agent": agent, "ce-run": run }] as Record<string, string>[]) {
      for (const id of stepIds(run)) {
        const as = { ...head, "ce-id": id };
        await daemon.ask("policy:select", { slot: "colour", candidates: [{ id: "red" }], context: {} }, as);
        await daemon.ask("approval:request", { action: { ask: "Forged?" } }, as);
        await daemon.ask("agent:spawn", { profile: "base_orchestrator", task: "forged" }, as);
        assert.equal(await daemon.codeOf("tool:call", { name: "any", idempotency_key: id }, as).catch(String), "REQUEST_INVALID");
      }
    }
    await daemon.ask("event:emit", { event: "quiz:opened" });
    const asked = await until(async () => {
      const { approvals } = await daemon.ask<{ approvals: Approval[] }>("approval:list", { state: "pending" });
      return approvals.find(({ action, run_id }) => run_id === run && action.ask === "Go on?");
    }, "the run's own question");
    await daemon.ask("approval:decide", { id: asked.id, hash: asked.hash, decision: "approve", by: "Ada" });
    const { state, result } = await ended(run);
    assert.equal(state, "completed");
    const { chosen, one } = result as { chosen: { decision_id: string }; one: { agent_id: string } };
    const events = await stored();
    const selected = events.find(({ type, data }) => type === "policy:selected" && data.decision_id === chosen.decision_id);
    assert.equal(selected?.data.by, `agent:${agent}`);
    assert.match(String(selected?.data.request), new RegExp(`^${run}/`), "under the step's id, which nobody else had");
    assert.equal(events.filter(({ type, data }) => type === "policy:selected" && String(data.request).startsWith(`${run}/`)).length, 1);
    assert.equal((await daemon.ask("agent:info", { agent_id: one.agent_id })).task, "mine");
  });

  it("cannot be given by an agent either, whatever it may emit, in its run or in its name", async () => {
    const { decision_id } = await daemon.ask("policy:select", { slot: "lamp", candidates: [{ id: "red" }] });
    const id = `${decision_id}/outcome`;
    const run = await begin(`CALL "event:emit" WITH {event: "guess:made", id: "${id}"}\nRETURN 1`, "forger");
    const { state, error } = await ended(run);
    assert.deepEqual([state, error?.code], ["failed", "REQUEST_INVALID"]);
    const { agent_id } = await daemon.ask("agent:spawn", { profile: "base_orchestrator" });
    assert.deepEqual(await preempt(id, { "ce-agent": String(agent_id) }), refusedAll);
    assert.deepEqual(await daemon.ask("policy:outcome", { decision_id, reward: 1 }), { joined: true });
  });

  it("is told apart in the error from one that is no id", async () => {
    const { message } = await daemon.errorOf("event:emit", { event: "guess:made", id: "01ARZ3NDEKTSV4RRFFQ69G5FAV/outcome" });
    assert.match(message, /the daemon alone/);
    assert.match((await daemon.errorOf("event:emit", { event: "guess:made", id: "a b" })).message, /characters/);
    for (const id of ["order/17", "urn:01ARZ3NDEKTSV4RRFFQ69G5FAV/3", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAV-3"]) {
      assert.equal((await daemon.ask("event:emit", { event: "free:chosen", id })).status, "emitted", id);
    }
  });
});

describe("the log of a busy daemon", () => {
  it("holds no id of a module's event that somebody outside could have given", async () => {
    // A tracked decision has the id of the request itself, which a client may choose.
    const events = (await stored()).filter(
      ({ source, type }) => source.startsWith("reprise/module/") && type !== "composition:decision_tracked",
    );
    assert.deepEqual(
      events.filter(({ id }) => !isPlain(id) && !isOwnId(id)),
      [],
    );
    const derived = new Set(events.filter(({ id }) => !isPlain(id)).map(({ type }) => type));
    for (const type of ["agent:message_sent", "agent:spawned", "approval:decided", "approval:requested", "composition:decision_resolved"])
      assert.ok(derived.has(type), type);
    for (const type of ["composition:decision_recorded", "orchestration:started", "orchestration:completed", "policy:outcome_recorded"])
      assert.ok(derived.has(type), type);
  });

  const isPlain = (id: string) => /^[0-9A-HJKMNP-TV-Z]{26}$/.test(id);
});
