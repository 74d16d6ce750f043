import assert from "node:assert/strict";
import { test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { type Answer, type PlayOptions, playText, store } from "../harness/play-text.ts";

const code = (error: unknown) => (error instanceof CodedError ? error.code : error);

async function resultOf(text: string, options: PlayOptions = {}) {
  const { result, error } = await playText(text, options);
  if (error !== undefined) throw error;
  return result;
}

/** A log in which each emit of the pattern is stored, so that a pattern can wait for its own events. */
function loggingEmits(log: MemoryEventLog, more: Answer = () => undefined): Answer {
  return (effect, step, signal) => {
    if (effect.kind === "emit") store(log, effect.event, effect.data);
    return more(effect, step, signal);
  };
}

test("AWAIT gives the data of an event that comes later, and of one that came before", async () => {
  const log = new MemoryEventLog();
  store(log, "order:placed", { id: 1 });
  setTimeout(() => store(log, "order:paid", { id: 2 }), 5);
  assert.deepEqual(await resultOf("AWAIT order:placed AS placed\nAWAIT 'order:paid' AS paid\nRETURN {placed, paid}", { log }), {
    placed: { id: 1 },
    paid: { id: 2 },
  });
});

test("each event counts once for the same AWAIT, and for each AWAIT anew", async () => {
  const log = new MemoryEventLog();
  for (const n of [1, 2, 3]) store(log, "a:b", { n });
  const text = "LOOP i FROM 1 TO 2:\n  AWAIT a:b AS event\n  APPEND seen event.n\nAWAIT a:b AS event\nAPPEND seen event.n\nRETURN seen";
  assert.deepEqual(await resultOf(text, { log }), [1, 2, 1]);
});

test("WHERE is read inside the event's data, $$ is the run, $event the event; what does not fit stays for another time", async () => {
  const log = new MemoryEventLog();
  store(log, "vote:cast", { by: "a", yes: true }, "A");
  store(log, "vote:cast", { by: "b", yes: false }, "B");
  const text =
    "FOREACH name IN ['b', 'a']:\n  AWAIT vote:cast WHERE by = $$.name AS vote\n  APPEND votes vote.yes\nAWAIT vote:cast WHERE $event.agent = 'B' AS last\nRETURN {votes, last: last.by}";
  assert.deepEqual(await resultOf(text, { log }), { votes: [false, true], last: "b" });
});

test("a pattern of names awaits any event that matches", async () => {
  const log = new MemoryEventLog();
  store(log, "other:thing", {});
  store(log, "order:shipped", { id: 7 });
  assert.deepEqual(await resultOf("AWAIT order:* AS it\nRETURN it", { log }), { id: 7 });
});

test("an AWAIT whose time is up is an error that ON ERROR handles", async () => {
  assert.equal(await resultOf("AWAIT a:b WITHIN 5ms AS x\nON ERROR:\n  RETURN error.code"), "AWAIT_EXPIRED");
});

test("a group is awaited up to max, at least min must come, and partial takes what came", async () => {
  const log = new MemoryEventLog();
  store(log, "vote:cast", { by: 1 }, "A");
  store(log, "vote:cast", { by: 2 }, "A");
  store(log, "vote:cast", { by: 3 }, "X");
  store(log, "vote:cast", { by: 4 }, "B");
  const options = { log, variables: { voters: [{ agent_id: "A" }, { agent_id: "B" }, { agent_id: "C" }] } };
  const votes = (fields: string) => resultOf(`AWAIT {event: "vote:cast", ${fields}} AS votes\nRETURN [votes.by]`, options);
  assert.deepEqual(await votes("from: voters, min: 2"), [1, 4]);
  assert.deepEqual(await votes("min: 3"), [1, 2, 3]);
  assert.deepEqual(await votes("from: voters, within: 300ms, partial: true"), [1, 4]);
  assert.deepEqual(await votes("from: voters, min: 2, within: 300ms"), [1, 4]);
  await assert.rejects(votes("from: voters, min: 3, within: 300ms"), { code: "AWAIT_EXPIRED", details: { came: 2, min: 3, line: 1 } });
});

test("an agent that ends without answering is not waited for", async () => {
  const log = new MemoryEventLog();
  store(log, "vote:cast", { by: 1 }, "A");
  store(log, "agent:terminated", { agent_id: "B" });
  const text = (more: string) => `AWAIT {event: "vote:cast", from: ["A", "B"]${more}} AS votes\nRETURN [votes.by]`;
  assert.deepEqual(await resultOf(text(", min: 1, max: 2"), { log }), [1]);
  await assert.rejects(resultOf(text(""), { log }), { code: "AWAIT_EXPIRED" });
});

test("an agent is awaited until it ends; one that ended already counts at once, also one from before the run", async () => {
  const log = new MemoryEventLog();
  store(log, "agent:completed", { agent_id: "A", result: 42 });
  setTimeout(() => store(log, "agent:failed", { agent_id: "B", error: { code: "RUN_ABORTED" } }), 5);
  const agent = (agent_id: string) =>
    agent_id === "C" ? { agent_id, state: "terminated", ended_at: "0000" } : { agent_id, state: "active" };
  const variables = { a: { agent_id: "A" }, all: ["B", "C", "A"] };
  assert.deepEqual(await resultOf("AWAIT a AS one\nAWAIT all AS every\nRETURN {one, every}", { log, agent, variables }), {
    one: { agent_id: "A", state: "completed", result: 42 },
    every: [
      { agent_id: "B", state: "failed", error: { code: "RUN_ABORTED" } },
      { agent_id: "C", state: "terminated" },
      { agent_id: "A", state: "completed", result: 42 },
    ],
  });
});

test("SPAWN gives the agent, or with count a list; SEND takes either, and AWAIT REPLY gives the answer or a list of them", async () => {
  const log = new MemoryEventLog();
  const sent: unknown[] = [];
  const answer: Answer = (effect) => {
    if (effect.kind === "spawn") {
      const agents = [1, 2].map((n) => ({ agent_id: `${effect.input.name}${n}` }));
      return effect.input.count === undefined ? agents[0] : { ...agents[0], agents };
    }
    if (effect.kind !== "send") return undefined;
    return effect.to.map((to) => {
      sent.push({ to, message: effect.message, expects_reply: effect.expects_reply });
      const seq = store(log, "agent:message_sent", { message_id: `to-${to}`, to });
      setTimeout(() => store(log, "agent:message_sent", { in_reply_to: `to-${to}`, message: `${to} says hi` }), 3);
      return { message_id: `to-${to}`, to, seq };
    });
  };
  const text = `
    SPAWN one WITH profile: "p", name: "o"
    SPAWN {profile: "p", name: "g", count: 2} AS group
    SEND one {hello: 1}
    SEND {to: group, message: "all"} AWAIT REPLY WITHIN 10s AS answers
    SEND one.agent_id "you" AWAIT REPLY AS answer
    TERMINATE group
    RETURN {answers, answer}`;
  const { result, error, performed } = await playText(text, { log, answer });
  assert.equal(error, undefined);
  assert.deepEqual(result, { answers: ["g1 says hi", "g2 says hi"], answer: "o1 says hi" });
  assert.deepEqual(sent, [
    { to: "o1", message: { hello: 1 }, expects_reply: false },
    { to: "g1", message: "all", expects_reply: true },
    { to: "g2", message: "all", expects_reply: true },
    { to: "o1", message: "you", expects_reply: true },
  ]);
  assert.deepEqual(performed.at(-1)?.effect, { kind: "terminate", agents: ["g1", "g2"] });
});

test("an agent that answers with an error makes AWAIT REPLY fail with it", async () => {
  const log = new MemoryEventLog();
  store(log, "agent:message_sent", { in_reply_to: "m", error: { code: "AGENT_CANNOT_ANSWER", message: "no model" } });
  const answer: Answer = ({ kind }) => (kind === "send" ? [{ message_id: "m", to: "A", seq: 0 }] : undefined);
  const { error } = await playText('SEND a "hi" AWAIT REPLY AS x', { log, answer, variables: { a: "A" } });
  assert.equal(code(error), "AGENT_CANNOT_ANSWER");
});

test("ASK gives the option that a human chose, or whether it was approved; a question that expires is an error", async () => {
  const ask = (decided: object, options = "") => {
    const log = new MemoryEventLog();
    store(log, "approval:requested", { id: "Q", state: "pending" });
    store(log, "approval:decided", { id: "other", state: "approved" });
    store(log, "approval:decided", { id: "Q", ...decided });
    const answer: Answer = ({ kind }) => (kind === "ask" ? { id: "Q" } : undefined);
    return playText(`ASK "Publish?" ${options} WITHIN 1h AS answer\nRETURN answer`, { log, answer });
  };
  const chosen = await ask({ state: "approved", decision: "option", option: "later" }, 'OPTIONS ["now", "later"]');
  assert.equal(chosen.result, "later");
  assert.deepEqual(chosen.performed[0]?.effect, { kind: "ask", question: "Publish?", options: ["now", "later"], within: 3600 });
  assert.equal((await ask({ state: "approved", decision: "approve" })).result, true);
  assert.equal((await ask({ state: "denied", decision: "deny" })).result, false);
  assert.equal(code((await ask({ state: "expired" })).error), "AWAIT_EXPIRED");
});

test("a resumed run does not wait again for what it got, and a wait that was under way ends when it was to end", async () => {
  const log = new MemoryEventLog();
  store(log, "a:b", { n: 1 });
  const text = "AWAIT a:b AS first\nEMIT 'c:d'\nAWAIT never:comes WITHIN 60s AS x\nON ERROR:\n  RETURN {first, code: error.code}";
  const abort = new AbortController();
  const stopped = await playText(text, {
    log,
    signal: abort.signal,
    answer: (effect) => {
      if (effect.kind === "await" && effect.until) setTimeout(() => abort.abort(new Error("stopped")), 5);
    },
  });
  assert.equal((stopped.error as Error).message, "stopped");
  const entries = structuredClone(stopped.entries) as { intents: { effect: { until?: string } }[] }[];
  const wait = entries.flatMap(({ intents }) => intents).find(({ effect }) => effect.until !== undefined);
  assert.ok(wait, "the end of the wait is in the journal");
  wait.effect.until = new Date(Date.now() - 1).toISOString();
  const resumed = await playText(text, { log: new MemoryEventLog(), entries });
  assert.deepEqual(resumed.result, { first: { n: 1 }, code: "AWAIT_EXPIRED" });
  assert.deepEqual(resumed.events, ["await"]);
});

test("QUERY gives the events of the log, by a pattern of names or by all that event:query takes", async () => {
  const answer: Answer = ({ kind }) => (kind === "query" ? [{ data: 1 }] : undefined);
  const { performed, result } = await playText('QUERY "a:*" AS one\nQUERY {types: ["a:b"], limit: 5} AS two\nRETURN COUNT(two)', {
    answer,
  });
  assert.deepEqual(
    performed.map(({ effect }) => effect),
    [
      { kind: "query", input: { types: ["a:*"] } },
      { kind: "query", input: { types: ["a:b"], limit: 5 } },
    ],
  );
  assert.equal(result, 1);
});

test("CONSIDER calls its command when its condition holds; one in prose is false where nobody thinks", async () => {
  const text = 'CONSIDER "a:one" WITH {x: 1} IF 1 > 0\nCONSIDER "a:two" IF 1 > 2\nCONSIDER "a:three" IF it seems wise';
  const { performed, judgements } = await playText(text);
  assert.deepEqual(
    performed.map(({ effect }) => effect),
    [{ kind: "consider", command: "a:one", input: { x: 1 } }],
  );
  assert.deepEqual(judgements, ["it seems wise"]);
});

test("who thinks answers judgement points, guards and conditions; what the answer sets and emits is done", async () => {
  const asked: unknown[] = [];
  const answer: Answer = (effect) => {
    if (effect.kind !== "judge") return undefined;
    asked.push([effect.about, effect.text, effect.line, effect.state.mood]);
    if (effect.about === "point") return { set: { mood: "good" }, emit: [{ event: "mood:set", data: { to: "good" } }] };
    return { holds: effect.text !== "it rains" };
  };
  const text =
    "Consider the mood. REQUIRED\nIF all is well:\n  EMIT 'a:well'\nIF it rains:\n  EMIT 'a:rain'\nWhenever in doubt:\n  EMIT 'a:doubt'\nRETURN mood";
  const { result, events } = await playText(text, { answer, thinks: true, variables: { mood: "unknown" } });
  assert.equal(result, "good");
  assert.deepEqual(events, ["judge", "decide", "mood:set", "judge", "decide", "a:well", "judge", "decide", "judge", "decide", "a:doubt"]);
  assert.deepEqual(asked, [
    ["point", "Consider the mood. REQUIRED", 1, "unknown"],
    ["condition", "all is well", 2, "good"],
    ["condition", "it rains", 4, "good"],
    ["guard", "Whenever in doubt:", 6, "good"],
  ]);
});

test("a judgement that was paid for is not asked for again after a stop", async () => {
  const text = "Decide.\nSTATE x = 1\nDecide again.";
  const first = await playText(text, {
    thinks: true,
    answer: (effect) => {
      if (effect.kind === "judge" && effect.line === 3) throw new Error("the daemon stops");
      return { set: { decided: true } };
    },
  });
  assert.equal((first.error as Error).message, "the daemon stops");
  const second = await playText(text, { thinks: true, entries: first.entries, answer: () => ({ set: { again: true } }) });
  assert.deepEqual(second.result, { decided: true, x: 1, again: true });
  assert.deepEqual(
    second.performed.map(({ effect }) => effect.kind),
    ["judge", "decide"],
  );
});

test("what a pattern emits it can await", async () => {
  const log = new MemoryEventLog();
  const text = "EMIT 'ping:sent' WITH {n: 3}\nAWAIT ping:sent AS ping\nRETURN ping.n";
  assert.equal(await resultOf(text, { log, answer: loggingEmits(log) }), 3);
});
