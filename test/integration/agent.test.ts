/** Agents in a whole daemon: what they do now, holding and ending them, and what a crash leaves of them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { askerOn } from "../harness/ask.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { until } from "../harness/until.ts";

const pattern = (name: string, capabilities: string[], lines: string[]) => ({
  type: "orchestration",
  name,
  content: [
    `name: ${name}`,
    "type: orchestration",
    "version: 1.0.0",
    `capabilities: ${JSON.stringify(capabilities)}`,
    "orchestration_logic:",
    "  strategy: |",
    ...lines.map((line) => `    ${line}`),
  ].join("\n"),
});

const echo = {
  type: "profile",
  name: "echo",
  content: 'name: echo\ntype: profile\nversion: 1.0.0\ncapabilities: ["event:emit"]\nanswers: [{ reply: message }]\n',
};
const waiting = pattern("waiting", ["emit:bell:*"], ['AWAIT "bell:rung" AS bell', "RETURN bell.note"]);
const team = pattern(
  "team",
  ["agent:spawn", "agent:send"],
  [
    'SPAWN {profile: "echo", count: 3, group: "choir"} AS choir',
    'SEND choir {note: "a"} AWAIT REPLY WITHIN 20s AS answers',
    'AWAIT "bell:rung"',
    "RETURN answers",
  ],
);

const listener = pattern(
  "listener",
  ["agent:send"],
  [
    "LOOP turn FROM 1 TO 2:",
    '  AWAIT "agent:message_sent" AS asked',
    '  CALL "agent:send" WITH {in_reply_to: asked.message_id, message: {turn, heard: asked.message}}',
    "RETURN turn",
  ],
);

interface Info {
  agent_id: string;
  state: string;
  run_id?: string;
  group?: string;
  error?: { code: string };
  children: string[];
  doing: { is: string; steps?: { line: number; what: string }[] };
}
interface Spawned {
  agent_id: string;
  run_id: string;
}

let daemon: TestDaemon;
before(async () => {
  daemon = await startTestDaemon();
  for (const composition of [echo, waiting, team, listener]) await daemon.ask("composition:create", composition);
});
after(() => daemon?.[Symbol.asyncDispose]());

const spawn = (name: string) => daemon.ask<Spawned>("agent:spawn", { profile: "base_orchestrator", pattern: name });
const infoOf = (agent_id: string) => daemon.ask<Info>("agent:info", { agent_id });
const doing = (agent_id: string, is: string) =>
  until(async () => {
    const info = await infoOf(agent_id);
    return info.doing.is === is && info;
  }, `the agent to be ${is}`);

test("an agent's info says at which line of its pattern it waits, and for what", async () => {
  const { agent_id, run_id } = await spawn("waiting");
  const { doing: now, run_id: played } = await doing(agent_id, "waiting");
  assert.deepEqual([played, now.steps?.map(({ line, what }) => [line, what])], [run_id, [[1, "AWAIT bell:rung"]]]);
  await daemon.ask("event:emit", { event: "bell:rung", data: { note: "c" } });
  const { result } = await daemon.ask<{ result: unknown }>("orchestration:status", { run_id, wait: 20 });
  assert.equal(result, "c");
  await until(async () => (await infoOf(agent_id)).state === "completed", "its end");
});

test("an agent that is held hears nothing until it goes on, and then misses nothing", async () => {
  const { agent_id, run_id } = await spawn("waiting");
  await doing(agent_id, "waiting");
  await daemon.ask("agent:pause", { agent_id, reason: "lunch" });
  assert.deepEqual([(await infoOf(agent_id)).state, (await infoOf(agent_id)).doing.is], ["paused", "paused"]);
  await daemon.ask("event:emit", { event: "bell:rung", data: { note: "d" } });
  await daemon.ask("agent:resume", { agent_id });
  const { state, result } = await daemon.ask<{ state: string; result: unknown }>("orchestration:status", { run_id, wait: 20 });
  assert.deepEqual([state, result], ["completed", "d"]);
});

test("a pattern's agents answer it as a group, and end with it", async () => {
  const { agent_id, run_id } = await spawn("team");
  await doing(agent_id, "waiting");
  const { children } = await infoOf(agent_id);
  assert.equal(children.length, 3);
  assert.deepEqual(
    (await Promise.all(children.map(infoOf))).map(({ state, group }) => [state, group]),
    Array(3).fill(["active", "choir"]),
  );
  await until(async () => (await infoOf(agent_id)).doing.steps?.[0]?.line === 3, "the bell to be waited for");
  await daemon.ask("event:emit", { event: "bell:rung", data: {} });
  const { result } = await daemon.ask<{ result: unknown }>("orchestration:status", { run_id, wait: 20 });
  assert.deepEqual(result, Array(3).fill({ note: "a" }));
  await until(
    async () => (await Promise.all(children.map(infoOf))).every(({ state }) => state === "terminated"),
    "the end of the children",
  );
});

test("a pattern hears the messages to its own agent, and answers them", async () => {
  const [one, other] = [await spawn("listener"), await spawn("listener")];
  const ask = async ({ agent_id: to }: Spawned, message: string) => {
    const { message_id } = await daemon.ask<{ message_id: string }>("agent:send", { to, message, expects_reply: true });
    return until(async () => {
      const { events } = await daemon.ask<{ events: { data: { in_reply_to?: string; message: unknown; error?: { code: string } } }[] }>(
        "event:query",
        { types: ["agent:message_sent"], limit: 1000 },
      );
      const reply = events.find(({ data }) => data.in_reply_to === message_id)?.data;
      return reply && (reply.error?.code ?? reply.message);
    }, "the reply");
  };
  assert.deepEqual(await ask(one, "a"), { turn: 1, heard: "a" });
  assert.deepEqual(await ask(other, "b"), { turn: 1, heard: "b" });
  assert.deepEqual(await ask(one, "c"), { turn: 2, heard: "c" });
  await until(async () => (await infoOf(one.agent_id)).state === "completed", "its end");
  assert.equal((await infoOf(other.agent_id)).state, "active");
});

test("an agent whose pattern does not exist has failed, and says why", async () => {
  assert.equal(
    await daemon.codeOf("agent:spawn", { profile: "base_orchestrator", pattern: "nowhere", name: "lost" }),
    "COMPOSITION_NOT_FOUND",
  );
  const found = await until(async () => {
    const { agents } = await daemon.ask<{ agents: (Info & { name?: string })[] }>("agent:list", { state: "failed" });
    return agents.find(({ name }) => name === "lost");
  }, "the failure");
  assert.equal(found.error?.code, "COMPOSITION_NOT_FOUND");
});

test("kill -9: every agent that was told of is there, once, with one run; messages are answered", async () => {
  await using process = await startDaemonProcess();
  const on = async <Reply>(use: (asker: ReturnType<typeof askerOn>) => Promise<Reply>): Promise<Reply> => {
    const client = await connect({ servers: process.url });
    try {
      return await use(askerOn(client));
    } finally {
      await client.close();
    }
  };
  await on(async ({ ask }) => {
    for (const composition of [echo, waiting]) await ask("composition:create", composition);
  });
  const told = new Map<string, string | undefined>();
  let messages: { message_id: string }[] = [];
  for (let round = 0; round < 3; round++) {
    const client = await connect({ servers: process.url, reconnect: false });
    const { ask } = askerOn(client);
    const { agent_id: worker } = await ask<Spawned>("agent:spawn", { profile: "echo" });
    const requests = Array.from({ length: 40 }, (_, index) =>
      ask<Spawned>("agent:spawn", index % 2 === 0 ? { profile: "echo" } : { profile: "base_orchestrator", pattern: "waiting" }).then(
        ({ agent_id, run_id }) => told.set(agent_id, run_id),
        () => undefined,
      ),
    );
    const sends = Array.from({ length: 20 }, () =>
      ask<{ message_id: string }>("agent:send", { to: worker, message: round }).then(
        (sent) => messages.push(sent),
        () => undefined,
      ),
    );
    await until(() => told.size >= (round + 1) * 8, "some agents");
    await process.kill("SIGKILL");
    await client.close();
    await Promise.all([...requests, ...sends]);
    await process.restart();
  }
  assert.ok(messages.length > 0);
  await on(async ({ ask }) => {
    for (const [agent_id, run_id] of told) {
      const { state, run_id: played } = await ask<Info>("agent:info", { agent_id });
      assert.deepEqual([state, played], ["active", run_id], agent_id);
    }
    const { agents } = await ask<{ agents: Info[] }>("agent:list", { profile: "base_orchestrator", limit: 1000 });
    const begun = async ({ agent_id }: Info) =>
      (await ask<{ runs: unknown[] }>("orchestration:list", { agent_id, limit: 10 })).runs.length === 1;
    await until(async () => (await Promise.all(agents.map(begun))).every(Boolean), "one run for each");
    const unanswered = async () => {
      const answered = new Set<string | undefined>();
      for (let cursor: string | undefined; ; ) {
        const page = await ask<{ events: { data: { in_reply_to?: string } }[]; cursor?: string }>("event:query", {
          types: ["agent:message_sent"],
          limit: 1000,
          ...(cursor && { cursor }),
        });
        for (const { data } of page.events) answered.add(data.in_reply_to);
        if (page.cursor === undefined) break;
        cursor = page.cursor;
      }
      messages = messages.filter(({ message_id }) => !answered.has(message_id));
      return messages.length === 0;
    };
    await until(unanswered, "the answers");
  });
});
