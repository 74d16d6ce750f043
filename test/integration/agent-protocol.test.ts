/** The Synadia Agent Protocol, both ways, over a real NATS server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createInbox, headers, type Msg, type Subscription } from "@nats-io/transport-node";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { until } from "../harness/until.ts";

const echo = `name: echo
type: profile
version: 1.0.0
capabilities: ["approval:request"]
answers:
  - { when: 'message = "hello"', reply: '"and hello to you"' }
  - { when: 'message = "long"', reply: '$pad("", 200000, "é")' }
`;
const foreign = (subject: string) => `name: foreign
type: profile
version: 1.0.0
capabilities: []
protocol: agents
subject: ${subject}
`;
const elsewhere = "agents.prompt.echo.alice.demo";

interface Chunk {
  type: string;
  data: string & { id: string; reply_subject: string; prompt: string };
}

let daemon: TestDaemon;
before(async () => {
  daemon = await startTestDaemon();
  await daemon.ask("composition:create", { type: "profile", name: "echo", content: echo });
  await daemon.ask("composition:create", { type: "profile", name: "foreign", content: foreign(elsewhere) });
});
after(() => daemon?.[Symbol.asyncDispose]());

const spawn = async (profile: string, more: object = {}) =>
  (await daemon.ask<{ agent_id: string }>("agent:spawn", { profile, ...more })).agent_id;
const promptSubject = (id: string) => `agents.prompt.reprise.local.${id}`;

/** Everything that is answered, up to the end of the stream. */
async function prompt(subject: string, body: string, onQuery?: (chunk: Chunk) => void) {
  const inbox = createInbox();
  const chunks: Chunk[] = [];
  const errors: string[] = [];
  const ended = Promise.withResolvers<void>();
  const subscription = daemon.client.subscribe(inbox, {
    callback(_, message) {
      const code = message.headers?.get("Nats-Service-Error-Code") ?? "";
      if (code !== "") errors.push(code);
      else if (message.data.length === 0) ended.resolve();
      else {
        const chunk = message.json<Chunk>();
        chunks.push(chunk);
        if (chunk.type === "query") onQuery?.(chunk);
      }
    },
  });
  daemon.client.publish(subject, body, { reply: inbox });
  await ended.promise;
  subscription.unsubscribe();
  return {
    chunks,
    errors,
    text: chunks
      .filter(({ type }) => type === "response")
      .map(({ data }) => data)
      .join(""),
  };
}

/** The replies to a request that many answer. */
async function repliesTo(subject: string, count: number): Promise<Msg[]> {
  const inbox = createInbox();
  const messages: Msg[] = [];
  const subscription = daemon.client.subscribe(inbox, { callback: (_, message) => void messages.push(message) });
  daemon.client.publish(subject, "", { reply: inbox });
  await until(() => messages.length >= count, `${count} replies to ${subject}`);
  subscription.unsubscribe();
  return messages;
}

test("a prompt is acknowledged first, answered in chunks, and ended by an empty message", async () => {
  const id = await spawn("echo");
  for (const body of ["hello", JSON.stringify({ prompt: "hello" })]) {
    const { chunks, errors } = await prompt(promptSubject(id), body);
    assert.deepEqual(
      [chunks, errors],
      [
        [
          { type: "status", data: "ack" },
          { type: "response", data: "and hello to you" },
        ],
        [],
      ],
    );
  }
  const { chunks, text } = await prompt(promptSubject(id), "long");
  assert.ok(chunks.length > 3);
  assert.equal(text, "é".repeat(200_000));
});

test("what cannot be answered ends with an error of the protocol, after it the end", async () => {
  const id = await spawn("echo");
  assert.deepEqual((await prompt(promptSubject(id), "what?")).errors, ["422"]);
  assert.deepEqual((await prompt(promptSubject(id), " ")).errors, ["400"]);
  const attached = { prompt: "hello", attachments: [{ filename: "a.png", content: "AAAA" }] };
  assert.deepEqual((await prompt(promptSubject(id), JSON.stringify(attached))).errors, ["400"]);
  assert.deepEqual((await prompt(promptSubject("nobody"), "hello")).errors, ["404"]);
});

test("each agent is discovered with its own subjects, says its status, and is gone when it has ended", async () => {
  const [id, other] = [await spawn("echo", { name: "Ada" }), await spawn("echo")];
  const infos = (await repliesTo("$SRV.INFO.agents", 2)).map((message) => message.json<Record<string, never>>());
  const info = infos.find((one) => one.id === id) as unknown as Record<string, unknown> & { endpoints: Record<string, unknown>[] };
  assert.deepEqual(info.metadata, { agent: "reprise", owner: "local", session: id, protocol_version: "0.3" });
  assert.deepEqual([info.name, info.description], ["agents", "Ada: echo"]);
  assert.deepEqual(
    info.endpoints.map(({ name, subject, queue_group }) => [name, subject, queue_group]),
    [
      ["prompt", promptSubject(id), "agents"],
      ["status", `agents.status.reprise.local.${id}`, "agents"],
    ],
  );
  const status = (await daemon.client.request(`agents.status.reprise.local.${id}`, "")).json<Record<string, unknown>>();
  assert.deepEqual([status.agent, status.owner, status.instance_id, status.interval_s], ["reprise", "local", id, 30]);
  assert.equal((await repliesTo(`$SRV.PING.agents.${id}`, 1)).length, 1);
  await daemon.ask("agent:terminate", { agent_id: id });
  const left = (await repliesTo("$SRV.INFO.agents", 1)).map((message) => message.json<{ id: string }>().id);
  assert.deepEqual([left.includes(id), left.includes(other)], [false, true]);
});

test("a question of an agent goes to whoever prompted it, and its answer back; a request for approval does not", async () => {
  await daemon.ask("composition:create", {
    type: "profile",
    name: "slow",
    content: 'name: slow\ntype: profile\nversion: 1.0.0\ncapabilities: ["approval:request", "agent:send"]\n',
  });
  await daemon.ask("composition:create", {
    type: "orchestration",
    name: "listener",
    content:
      'name: listener\ntype: orchestration\nversion: 1.0.0\ncapabilities: ["agent:send", "approval:request"]\norchestration_logic:\n  strategy: |\n    AWAIT "never:heard"\n',
  });
  const { agent_id: id, run_id } = await daemon.ask<{ agent_id: string; run_id: string }>("agent:spawn", {
    profile: "slow",
    pattern: "listener",
  });
  const questions: string[] = [];
  const answered = prompt(promptSubject(id), "which colour?", ({ data }) => {
    questions.push(data.prompt);
    daemon.client.publish(data.reply_subject, "blue");
  });
  const asked = await until(async () => {
    const { events } = await daemon.ask<{ events: { data: { to: string; message_id: string } }[] }>("event:query", {
      types: ["agent:message_sent"],
      limit: 1000,
    });
    return events.find(({ data }) => data.to === id);
  }, "the message");
  const { id: quiet } = await daemon.ask<{ id: string }>(
    "approval:request",
    { action: { ask: "May I?" }, for: "tool:shell" },
    { "ce-agent": id },
  );
  const { id: approval } = await daemon.ask<{ id: string }>(
    "approval:request",
    { action: { ask: "Warm or cold?" }, options: ["red", "blue"] },
    { "ce-agent": id },
  );
  const decided = await until(async () => {
    const found = await daemon.ask<{ state: string; option: string }>("approval:info", { id: approval });
    return found.state !== "pending" && found;
  }, "the answer");
  assert.deepEqual([questions, decided.option], [["Warm or cold? (red, blue)"], "blue"]);
  assert.equal((await daemon.ask<{ state: string }>("approval:info", { id: quiet })).state, "pending");
  await daemon.ask("agent:send", { in_reply_to: asked.data.message_id, message: { colour: "blue" } }, { "ce-agent": id });
  assert.equal((await answered).text, '{"colour":"blue"}');
  await daemon.ask("orchestration:cancel", { run_id });
});

/** An agent of somebody else, as the protocol wants it. */
function serveElsewhere(answer: (prompt: string, message: Msg) => void): Subscription[] {
  const info = {
    type: "io.nats.micro.v1.info_response",
    name: "agents",
    id: "X",
    version: "1.0.0",
    description: "says it again",
    metadata: { agent: "echo", owner: "alice", protocol_version: "0.3" },
    endpoints: [{ name: "prompt", subject: elsewhere, queue_group: "agents", metadata: {} }],
  };
  return [
    daemon.client.subscribe("$SRV.INFO.agents", { callback: (_, message) => void message.respond(JSON.stringify(info)) }),
    daemon.client.subscribe(elsewhere, {
      callback(_, message) {
        message.respond(JSON.stringify({ type: "status", data: "ack" }));
        answer(message.json<{ prompt: string }>().prompt, message);
      },
    }),
  ];
}

const say = (message: Msg, chunk: object) => message.respond(JSON.stringify(chunk));

async function replyFrom(agent_id: string, message: unknown) {
  const { message_id } = await daemon.ask<{ message_id: string }>("agent:send", { to: agent_id, message });
  return until(async () => {
    const { events } = await daemon.ask<{ events: { data: { in_reply_to?: string; message?: unknown; error?: { code: string } } }[] }>(
      "event:query",
      {
        types: ["agent:message_sent"],
        limit: 1000,
      },
    );
    return events.find(({ data }) => data.in_reply_to === message_id)?.data;
  }, "the reply");
}

test("an agent of others' making is found, and works as one of ours", async () => {
  const subscriptions = serveElsewhere((text, message) => {
    say(message, { type: "response", data: `${text} ` });
    say(message, { type: "novelty", data: 1 });
    say(message, { type: "response", data: { text: text.toUpperCase() } });
    message.respond();
  });
  await daemon.client.flush();
  const { agents } = await daemon.ask<{ agents: object[] }>("agent:discover");
  assert.deepEqual(agents, [{ agent: "echo", owner: "alice", name: "demo", description: "says it again", subject: elsewhere }]);
  assert.equal((await replyFrom(await spawn("foreign"), "again")).message, "again AGAIN");
  for (const subscription of subscriptions) subscription.unsubscribe();
});

test("what an agent of others' making asks, a human answers", async () => {
  const subscriptions = serveElsewhere((_, message) => {
    const inbox = createInbox();
    daemon.client.subscribe(inbox, {
      max: 1,
      callback(_error, answer) {
        say(message, { type: "response", data: `so ${answer.json<{ prompt: string }>().prompt}` });
        message.respond();
      },
    });
    say(message, { type: "query", data: { id: "q", reply_subject: inbox, prompt: "Left or right?" } });
  });
  await daemon.client.flush();
  const id = await spawn("foreign");
  const reply = replyFrom(id, "go");
  const asked = await until(async () => {
    const { approvals } = await daemon.ask<{ approvals: { id: string; hash: string; action: object }[] }>("approval:list", {
      agent_id: id,
      state: "pending",
    });
    return approvals[0];
  }, "the question");
  assert.deepEqual(asked.action, { ask: "Left or right?" });
  await daemon.ask("approval:decide", { id: asked.id, hash: asked.hash, decision: "option", option: "left", by: "Ada" });
  assert.equal((await reply).message, "so left");
  for (const subscription of subscriptions) subscription.unsubscribe();
});

test("one that is not there, refuses, or breaks the protocol is an error in the reply; no subject but a prompt's is written to", async () => {
  const id = await spawn("foreign");
  assert.equal((await replyFrom(id, "anybody?")).error?.code, "AGENT_UNREACHABLE");
  for (const [text, answer] of [
    [
      "refuse",
      (message: Msg) => {
        const head = headers();
        head.append("Nats-Service-Error-Code", "429");
        head.append("Nats-Service-Error", "busy");
        message.respond("", { headers: head });
      },
    ],
    ["babble", (message: Msg) => message.respond("not json")],
    ["astray", (message: Msg) => say(message, { type: "query", data: { id: "q", reply_subject: "event.forged.event", prompt: "?" } })],
  ] as const) {
    const subscriptions = serveElsewhere((_, message) => void answer(message));
    await daemon.client.flush();
    assert.equal((await replyFrom(id, text)).error?.code, "AGENT_CANNOT_ANSWER", text);
    for (const subscription of subscriptions) subscription.unsubscribe();
    await daemon.client.flush();
  }
  for (const [index, subject] of ["event.forged.event", "agents.prompt.reprise.local.X", "agents.prompt.a.b.*"].entries()) {
    await daemon.ask("composition:create", {
      type: "profile",
      name: `bad-${index}`,
      content: foreign(`"${subject}"`).replace("name: foreign", `name: bad-${index}`),
    });
    assert.equal((await replyFrom(await spawn(`bad-${index}`), "?")).error?.code, "NAME_INVALID", subject);
  }
});

test("nobody else answers prompts for our agents", async () => {
  const { promise: refused, resolve: refuse } = Promise.withResolvers<string>();
  const callback = (error: Error | null) => {
    if (error !== null) refuse(error.message);
  };
  daemon.client.subscribe(promptSubject("*"), { callback });
  assert.match(await refused, /permission/i);
});

test("a heartbeat tells at once that an agent is there", async () => {
  const beats: string[] = [];
  const subscription = daemon.client.subscribe("agents.hb.reprise.local.*", { callback: (_, message) => void beats.push(message.subject) });
  await daemon.client.flush();
  const id = await spawn("echo");
  await until(() => beats.some((subject) => subject.endsWith(id)), "a heartbeat");
  subscription.unsubscribe();
});
