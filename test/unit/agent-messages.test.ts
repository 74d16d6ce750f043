import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import type { AgentHost, AgentNetwork, EventRecord } from "../../daemon/module.ts";
import agent from "../../modules/agent/index.ts";
import { temporaryFolder } from "../harness/git.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { createStateStore, startModule, type TestHandler, type TestOptions } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const profiles: Record<string, object> = {
  mute: {},
  echo: {
    answers: [
      { when: 'message.turn = "opening"', reply: '{"said": agent.task & "!"}' },
      { when: "message.fail", reply: "$error('no')" },
    ],
  },
  voter: { answers: [{ reply: '"voted"', emit: [{ event: "consensus:voted", data: '{"proposal": message.question}' }] }] },
  thinker: { prompt: "Be brief.", model: "fast" },
};

/** The module with these profiles; what is emitted in an agent's name is noted. */
async function start(options: TestOptions = {}) {
  const emitted: { input: unknown; agent: string | undefined }[] = [];
  const module = await startModule(agent, {
    ...options,
    handlers: {
      "composition:render": (({ name }: { name: string }) => ({ type: "profile", commit: "c", data: profiles[name] })) as TestHandler,
      "event:emit": ((input: object, { caller }: { caller?: { id: string } }) =>
        emitted.push({ input: structuredClone(input), agent: caller?.id })) as TestHandler,
      ...options.handlers,
    },
  });
  const spawn = async (profile: string, more: object = {}): Promise<string> =>
    (await module.call("agent:spawn", { profile, ...more })).agent_id;
  const replyTo = (message_id: string) =>
    until(
      () => module.log.ofType("agent:message_sent").find(({ data }) => (data as { in_reply_to?: string }).in_reply_to === message_id),
      `the reply to ${message_id}`,
    ).then(
      ({ data }) => data as { message?: unknown; error?: { code: string; message: string }; to: string; from: string; usage?: object },
    );
  return { module, spawn, replyTo, emitted, [Symbol.asyncDispose]: () => module[Symbol.asyncDispose]() };
}

const as = (id: string) => ({ caller: { kind: "agent" as const, id } });

test("a message is an event to one agent, and its reply names it", async () => {
  await using started = await start();
  const { module, spawn, replyTo } = started;
  const to = await spawn("echo", { task: "greet" });
  const sent = await module.call("agent:send", { to, message: { turn: "opening" }, expects_reply: true });
  const event = module.log.records.find(({ seq }) => seq === sent.seq);
  assert.deepEqual(event?.data, {
    message_id: sent.message_id,
    from: "client/test",
    to,
    message: { turn: "opening" },
    expects_reply: true,
  });
  const { message, from, to: asker } = await replyTo(sent.message_id);
  assert.deepEqual([message, from, asker], [{ said: "greet!" }, to, "client/test"]);
});

test("a message may be answered as soon as the log has it, by its receiver alone; the answer may be repeated", async () => {
  await using started = await start({ handlers: { "orchestration:start": () => ({ run_id: "run" }) } });
  const { module, spawn, replyTo } = started;
  const [to, other] = [await spawn("mute", { pattern: "listener" }), await spawn("mute")];
  const message_id = "asked";
  const held = module.log.hold();
  module.publish("agent:message_sent", { message_id, from: "client/test", to, message: "?", expects_reply: true });
  const answer = () => module.call("agent:send", { in_reply_to: message_id, message: "!" }, { ...as(to), meta: { id: "answer" } });
  const forged = module.call("agent:send", { to: other, in_reply_to: message_id, message: "!" }, as(other));
  forged.catch(() => {}); // asserted below
  const answered = answer();
  answered.catch(() => {});
  await nextTurn();
  held[Symbol.dispose]();
  await assert.rejects(forged, { code: "CAPABILITY_DENIED" });
  assert.deepEqual([(await answered).to, (await replyTo(message_id)).message], ["client/test", "!"]);
  assert.deepEqual(await answer(), await answered);
  assert.equal(module.log.ofType("agent:message_sent").length, 2);
});

test("what the log tells of an agent that another daemon spawned is known here as soon as anybody asks", async () => {
  await using here = await start();
  const { module } = here;
  await using there = await start({ log: module.log, state: createStateStore() });
  const held = module.log.hold();
  const agent_id = await there.spawn("mute");
  const info = module.call("agent:info", { agent_id });
  const sent = module.call("agent:send", { to: agent_id, message: "?" });
  const ended = module.call("agent:terminate", { agent_id });
  for (const asked of [info, sent, ended]) asked.catch(() => {}); // asserted below
  await nextTurn();
  held[Symbol.dispose]();
  assert.deepEqual([(await info).agent_id, (await sent).to, (await ended).terminated], [agent_id, agent_id, [agent_id]]);
});

test("a worker emits what its rules say in its own name", async () => {
  await using started = await start();
  const { module, spawn, replyTo, emitted } = started;
  const to = await spawn("voter");
  const { message_id } = await module.call("agent:send", { to, message: { question: "tea?" } });
  assert.equal((await replyTo(message_id)).message, "voted");
  assert.deepEqual(emitted, [{ input: { event: "consensus:voted", id: `${message_id}/event-1`, data: { proposal: "tea?" } }, agent: to }]);
});

test("an agent with neither a model nor a rule says so, and so does one whose rule fails", async () => {
  await using started = await start();
  const { module, spawn, replyTo } = started;
  const [mute, echo] = [await spawn("mute"), await spawn("echo")];
  const { message_id: one } = await module.call("agent:send", { to: mute, message: "?" });
  const { error } = await replyTo(one);
  assert.equal(error?.code, "AGENT_CANNOT_ANSWER");
  assert.match(error?.message ?? "", /mute.*model.*reprise\.yaml/s);
  const { message_id: two } = await module.call("agent:send", { to: echo, message: { fail: true } });
  assert.equal((await replyTo(two)).error?.code, "EXPRESSION_FAILED");
});

test("a model answers within its tokens, and its failure is the reply", async () => {
  const asked: { model: string; system: string; prompt: string }[] = [];
  const generate = ((request: (typeof asked)[0]) => {
    asked.push(request);
    if (asked.length === 1) throw new CodedError("MODEL_ANSWER_INVALID", "garbage", { usage: { input_tokens: 3, output_tokens: 2 } });
    const object = { reply: '{"marks": [1, 2]}', events: [{ event: "debate:spoke", data: '{"loud": true}' }] };
    return { object, usage: { input_tokens: 90, output_tokens: 20 }, cost: 0.01 };
  }) as TestHandler;
  await using started = await start({ handlers: { "model:generate": generate } });
  const { module, spawn, replyTo, emitted } = started;
  const to = await spawn("thinker", { task: "judge", budget: { tokens: 100 } });
  const ask = async () => replyTo((await module.call("agent:send", { to, message: { motion: "m" } })).message_id);
  const failed = await ask();
  assert.deepEqual([failed.error?.code, failed.usage], ["MODEL_ANSWER_INVALID", { tokens: 5 }], "an answer of no use was paid for, too");
  const first = await ask();
  assert.deepEqual([first.message, first.usage], [{ marks: [1, 2] }, { tokens: 110, cost: 0.01 }]);
  assert.deepEqual([asked[0]?.model, emitted.length], ["fast", 1]);
  assert.match(asked[0]?.system ?? "", /Your task: judge\n\nBe brief\./);
  await until(async () => (await module.call("agent:info", { agent_id: to })).spent?.tokens > 5, "the cost");
  assert.deepEqual((await module.call("agent:info", { agent_id: to })).spent, { tokens: 115, cost: 0.01 });
  assert.deepEqual([(await ask()).error?.code, asked.length], ["RUN_LIMIT_EXCEEDED", 2]);
});

test("an agent answers one message at a time, in their order", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const prompts: string[] = [];
  const generate = (async ({ prompt }: { prompt: string }) => {
    prompts.push(/"message":"(.*)"/.exec(prompt)?.[1] ?? "");
    await gate;
    return { object: { reply: "ok", events: [] }, usage: { input_tokens: 1, output_tokens: 1 } };
  }) as TestHandler;
  await using started = await start({ handlers: { "model:generate": generate } });
  const { module, spawn, replyTo } = started;
  const to = await spawn("thinker");
  await module.call("agent:send", { to, message: "one" });
  const { message_id } = await module.call("agent:send", { to, message: "two" });
  await until(async () => (await module.call("agent:info", { agent_id: to })).doing.messages === 2, "both messages");
  assert.deepEqual([prompts, (await module.call("agent:info", { agent_id: to })).doing.is], [["one"], "thinking"]);
  open();
  await replyTo(message_id);
  assert.deepEqual(prompts, ["one", "two"]);
});

test("messages to an agent that is held wait until it goes on", async () => {
  await using started = await start();
  const { module, spawn, replyTo } = started;
  const to = await spawn("voter");
  await module.call("agent:pause", { agent_id: to });
  const { message_id } = await module.call("agent:send", { to, message: {} });
  await until(async () => (await module.call("agent:info", { agent_id: to })).doing.messages === 1, "the message");
  assert.equal((await module.call("agent:info", { agent_id: to })).doing.is, "paused");
  await module.call("agent:resume", { agent_id: to });
  assert.equal((await replyTo(message_id)).message, "voted");
  assert.deepEqual(module.log.ofType("agent:paused", "agent:resumed").length, 2);
});

test("a message that was not answered before the daemon died is answered after the restart, once", async () => {
  const log = new MemoryEventLog();
  const hang = () => new Promise(() => {});
  const first = await start({
    log,
    handlers: {
      "model:generate": ((_: object, { signal }: { signal?: AbortSignal }) => Promise.race([hang(), aborted(signal)])) as TestHandler,
    },
  });
  const to = await first.spawn("thinker");
  const { message_id } = await first.module.call("agent:send", { to, message: "?" });
  await until(async () => (await first.module.call("agent:info", { agent_id: to })).doing.is === "thinking", "the thought");
  await first[Symbol.asyncDispose]();
  const answer = () => ({ object: { reply: "late", events: [] }, usage: { input_tokens: 1, output_tokens: 1 } });
  for (let restart = 0; restart < 2; restart++) {
    await using second = await start({ log, handlers: { "model:generate": answer } });
    assert.equal((await second.replyTo(message_id)).message, "late");
  }
  assert.equal(log.ofType("agent:message_sent").length, 2);
});

const aborted = (signal?: AbortSignal) =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason), { once: true }));

test("an agent that ends answers those who wait for it with an error; others are not asked any more", async () => {
  await using started = await start({ handlers: { "orchestration:start": () => ({ run_id: "r" }), "orchestration:cancel": () => ({}) } });
  const { module, spawn, replyTo } = started;
  const to = await spawn("mute", { pattern: "listen" });
  const { message_id } = await module.call("agent:send", { to, message: "?", expects_reply: true });
  await module.call("agent:send", { to, message: "fyi" });
  await until(() => module.state.registry.pending.get(to)?.size === 1, "the message that wants a reply");
  await module.call("agent:terminate", { agent_id: to });
  assert.equal((await replyTo(message_id)).error?.code, "AGENT_ENDED");
  await assert.rejects(module.call("agent:send", { to, message: "?" }), { code: "AGENT_ENDED" });
  await assert.rejects(module.call("agent:send", { to: "nobody", message: "?" }), { code: "AGENT_NOT_FOUND" });
});

test("a message that was under way when its receiver ended is refused, too", async () => {
  await using started = await start();
  const { module, spawn, replyTo } = started;
  const to = await spawn("voter");
  await module.call("agent:terminate", { agent_id: to });
  module.publish("agent:message_sent", { message_id: "late", from: "client/test", to, message: "?", expects_reply: true });
  assert.equal((await replyTo("late")).error?.code, "AGENT_ENDED");
});

test("an agent answers for itself alone, and needs not say to whom", async () => {
  await using started = await start({ handlers: { "orchestration:start": () => ({ run_id: "r" }) } });
  const { module, spawn, replyTo } = started;
  const [asked, other] = [await spawn("mute", { pattern: "listen" }), await spawn("mute")];
  const { message_id } = await module.call("agent:send", { to: asked, message: "?", expects_reply: true }, as(other));
  await until(() => module.state.registry.pending.get(asked), "the message");
  await assert.rejects(module.call("agent:send", { in_reply_to: message_id, message: "forged" }, as(other)), { code: "CAPABILITY_DENIED" });
  await module.call("agent:send", { in_reply_to: message_id, message: "mine" }, as(asked));
  const { message, to, from } = await replyTo(message_id);
  assert.deepEqual([message, to, from], ["mine", other, asked]);
});

test("a message that is sent again under its id is the same message", async () => {
  await using started = await start();
  const { module, spawn } = started;
  const to = await spawn("voter");
  const once = await module.call("agent:send", { to, message: 1 }, { meta: { id: "run/3" } });
  assert.deepEqual(await module.call("agent:send", { to, message: 1 }, { meta: { id: "run/3" } }), once);
  assert.equal(once.message_id, "run/3");
});

test("a broadcast reaches children, a group, the agents of a profile or a list, each by a message of its own", async () => {
  await using started = await start();
  const { module, spawn } = started;
  const parent = await spawn("mute");
  const { agents } = await module.call("agent:spawn", { profile: "voter", count: 2, group: "jury" }, as(parent));
  const ids = agents.map(({ agent_id }: { agent_id: string }) => agent_id).sort();
  const reached = async (to: unknown, caller = as(parent)) =>
    (await module.call("agent:broadcast", { to, message: {} }, caller)).sent.map((sent: { to: string }) => sent.to).sort();
  for (const to of ["children", { group: "jury" }, { profile: "voter" }, { agents: ids }])
    assert.deepEqual(await reached(to), ids, JSON.stringify(to));
  await assert.rejects(module.call("agent:broadcast", { to: "children", message: {} }), { code: "REQUEST_INVALID" });
});

test("of two daemons one answers a message; the other goes on when that one is gone", async () => {
  const asked: string[] = [];
  let isHeld = false;
  const shared = { log: new MemoryEventLog(), state: createStateStore() };
  const daemon = (name: string) =>
    start({
      ...shared,
      handlers: {
        "model:generate": (async (_: unknown, { signal }: { signal?: AbortSignal }) => {
          asked.push(name);
          if (isHeld) await new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
          return { object: { reply: "heard", events: [] }, usage: { input_tokens: 1, output_tokens: 1 } };
        }) as TestHandler,
      },
    });
  const first = await daemon("first");
  await using second = await daemon("second");
  try {
    const to = await first.spawn("thinker");
    await until(() => second.module.call("agent:info", { agent_id: to }).catch(() => undefined), "the other daemon to know the agent");
    for (let message = 0; message < 5; message++) {
      const { message_id } = await second.module.call("agent:send", { to, message: "are you there?" });
      assert.equal((await second.replyTo(message_id)).message, "heard");
    }
    assert.deepEqual(asked, Array(5).fill("first"));

    // Held by one daemon and let go by the other, it stops and goes on where it works.
    await second.module.call("agent:pause", { agent_id: to });
    const { message_id: later } = await second.module.call("agent:send", { to, message: "later" });
    await second.module.call("agent:resume", { agent_id: to });
    await second.replyTo(later);

    isHeld = true;
    const { message_id } = await second.module.call("agent:send", { to, message: "and now?" });
    await until(() => asked.length === 7, "the first to think");
    isHeld = false;
    await first[Symbol.asyncDispose]();
    assert.equal((await second.replyTo(message_id)).message, "heard");
    assert.equal(asked.at(-1), "second");
  } finally {
    await first[Symbol.asyncDispose]();
  }
});

test("of an agent that was spawned before agents had owners, one daemon answers what was unanswered and what comes", async (t) => {
  const log = new MemoryEventLog();
  const asked: string[] = [];
  const thinks = (name: string) => ({
    "model:generate": (() => {
      asked.push(name);
      return { object: { reply: "heard", events: [] }, usage: { input_tokens: 1, output_tokens: 1 } };
    }) as TestHandler,
  });
  const never = (async (_: unknown, { signal }: { signal?: AbortSignal }) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)))) as TestHandler;
  const earlier = await start({ log, handlers: { "model:generate": never } });
  const to = await earlier.spawn("thinker");
  const { message_id: unanswered } = await earlier.module.call("agent:send", { to, message: "are you there?" });
  await earlier[Symbol.asyncDispose]();
  for (const { data } of log.records) delete (data as { owner?: string }).owner;

  const shared = { log, state: createStateStore() };
  const database = join(await temporaryFolder(t), "agent.sqlite");
  const first = await start({ ...shared, database, handlers: thinks("first") });
  await using second = await start({ ...shared, handlers: thinks("second") });
  try {
    await first.replyTo(unanswered);
    const { message_id } = await second.module.call("agent:send", { to, message: "and now?" });
    await second.replyTo(message_id);
    assert.equal(asked.length, 2);
    assert.equal(new Set(asked).size, 1);
    assert.equal((await second.module.call("agent:info", { agent_id: to })).state, "active");
  } finally {
    await first[Symbol.asyncDispose]();
  }
  const { message_id } = await second.module.call("agent:send", { to, message: "still there?" });
  assert.equal((await second.replyTo(message_id)).message, "heard");
});

test("a message to an agent that has ended is refused in the place of a daemon that is gone", async () => {
  const shared = { log: new MemoryEventLog(), state: createStateStore() };
  const first = await start(shared);
  const to = await first.spawn("thinker");
  await first.module.call("agent:pause", { agent_id: to });
  const { message_id } = await first.module.call("agent:send", { to, message: "are you there?" });
  await first[Symbol.asyncDispose]();
  // It was told of, and the daemon was killed before it refused the message.
  shared.log.append({ ...(shared.log.records[0] as EventRecord), id: "ended", type: "agent:terminated", data: { agent_id: to } });
  await using second = await start(shared);
  assert.equal((await second.replyTo(message_id)).error?.code, "AGENT_ENDED");
});

test("who prompts an agent and is gone before the prompt was sent harms nobody", async () => {
  let host: AgentHost | undefined;
  const agentNetwork: AgentNetwork = {
    serve(served) {
      host = served;
      return { announce() {}, async [Symbol.asyncDispose]() {} };
    },
    discover: async () => [],
    prompt: () => assert.fail("nobody else is prompted"),
  };
  await using started = await start({ agentNetwork });
  const found = host?.find(await started.spawn("echo")) ?? assert.fail("the agent is reachable");
  const { emit } = started.module.context;
  const slowly: typeof emit = async (...told) => nextTurn().then(() => emit(...told));
  Object.assign(started.module.context, { emit: slowly });
  const gone = new AbortController();
  const stream = { signal: gone.signal, say: () => {}, ask: async () => "" };
  const answered = host?.answer(found, "are you there?", stream);
  gone.abort(new Error("gone"));
  await assert.rejects(answered ?? assert.fail(), /gone/);
});
