/** Whoever hears of an event asks about it at once: no daemon may then know less than was heard. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, test } from "node:test";
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { temporaryFolder } from "../harness/git.ts";
import { patternText } from "../harness/play-text.ts";
import { until } from "../harness/until.ts";

interface Heard {
  readonly id: string;
  readonly hash: string;
  readonly run_id: string;
  readonly agent_id: string;
  readonly decision_id: string;
  readonly message_id: string;
  readonly in_reply_to?: string;
  /** Of an experiment. */
  readonly name: string;
}

/** Of each kind, at the same time. */
const count = 20;

const pattern = `name: quick
type: orchestration
version: 1.0.0
orchestration_logic:
  strategy: |
    AWAIT "never:comes" WITHIN 60s
`;
/** Its agents hear their messages, and never answer. */
const listener = "name: listener\ntype: profile\nversion: 1.0.0\n";

const requests: Readonly<Record<string, object>> = {
  "orchestration:start": { pattern: "quick" },
  "agent:spawn": { profile: "listener", pattern: "quick" },
  "approval:request": { action: { ask: "May I?" } },
  "composition:track_decision": { pattern: "quick", decision: "tea" },
  "policy:select": { slot: "lamp", candidates: [{ id: "a" }, { id: "b" }] },
};

const questions: Readonly<Record<string, Readonly<Record<string, (heard: Heard) => object>>>> = {
  "orchestration.started": {
    "orchestration:status": ({ run_id }) => ({ run_id }),
    "orchestration:journal": ({ run_id }) => ({ run_id }),
    "orchestration:pause": ({ run_id }) => ({ run_id }),
  },
  "agent.spawned": {
    "agent:info": ({ agent_id }) => ({ agent_id }),
    "agent:send": ({ agent_id }) => ({ to: agent_id, message: "?", expects_reply: true }),
  },
  "agent.message_sent": { "agent:send": ({ message_id }) => ({ in_reply_to: message_id, message: "!" }) },
  "approval.requested": {
    "approval:info": ({ id }) => ({ id }),
    "approval:decide": ({ id, hash }) => ({ id, hash, decision: "approve", by: "Ada" }),
  },
  "composition.decision_tracked": { "composition:resolve_decision": ({ id }) => ({ id, outcome: "good" }) },
  "policy.selected": { "policy:outcome": ({ decision_id }) => ({ decision_id, reward: 1 }) },
};

/** What is told, the command that tells it as well, and what its reply says then. */
const facts: readonly (readonly [
  event: string,
  command: string,
  of: (heard: Heard) => object,
  isSo: (reply: Reply, heard: Heard) => boolean,
])[] = [
  ["orchestration.completed", "orchestration:status", ({ run_id }) => ({ run_id }), ({ state }) => state === "completed"],
  ["orchestration.cancelled", "orchestration:status", ({ run_id }) => ({ run_id }), ({ state }) => state === "cancelled"],
  ["orchestration.paused", "orchestration:status", ({ run_id }) => ({ run_id }), ({ state }) => state === "paused"],
  ["orchestration.started", "orchestration:list", () => ({}), ({ runs }, { run_id }) => runs.some((run) => run.run_id === run_id)],
  ["agent.spawned", "agent:list", () => ({}), ({ agents }, { agent_id }) => agents.some((agent) => agent.agent_id === agent_id)],
  ["agent.paused", "agent:info", ({ agent_id }) => ({ agent_id }), ({ state }) => state === "paused"],
  ["agent.resumed", "agent:info", ({ agent_id }) => ({ agent_id }), ({ state }) => state === "active"],
  ["agent.terminated", "agent:info", ({ agent_id }) => ({ agent_id }), ({ state }) => state === "terminated"],
  ["approval.requested", "approval:list", () => ({}), ({ approvals }, { id }) => approvals.some((approval) => approval.id === id)],
  ["approval.decided", "approval:info", ({ id }) => ({ id }), ({ state }) => state === "approved"],
];

interface Reply {
  readonly state: string;
  readonly runs: readonly Heard[];
  readonly agents: readonly Heard[];
  readonly approvals: readonly Heard[];
}

interface Experiment {
  readonly name: string;
  readonly state: string;
  readonly played: number;
}

/** Calls back for each event on the subject, from now on. Resolves when it listens. */
type Listen = (subject: string, onEvent: (heard: Heard) => void) => Promise<unknown>;

/** As a plain client, which hears of an event before it is stored. */
const liveOn =
  (client: NatsConnection): Listen =>
  async (subject, onEvent) => {
    client.subscribe(subject, { callback: (_, message) => onEvent(message.json()) });
    await client.flush();
  };

/** Has everything happen, asks about it as soon as it is heard, and gives the errors. */
async function errorsOf({ ask }: TestDaemon, listen: Listen): Promise<string[]> {
  const answers: Promise<unknown>[] = [];
  const errors: string[] = [];
  for (const [event, commands] of Object.entries(questions)) {
    await listen(`event.${event}`, (heard) => {
      if (heard.in_reply_to !== undefined) return;
      for (const [command, inputOf] of Object.entries(commands)) {
        answers.push(ask(command, inputOf(heard)).catch((error: Error) => errors.push(`${event}: ${error.message}`)));
      }
    });
  }
  await Promise.all(Object.entries(requests).flatMap(([command, input]) => Array.from({ length: count }, () => ask(command, input))));
  const asks = { runs: 2 * 3, agents: 2, messages: 1, approvals: 2, decisions: 1, selections: 1 };
  await until(() => answers.length === count * Object.values(asks).reduce((sum, one) => sum + one), "everything to be heard of");
  await Promise.all(answers);
  return errors;
}

describe("what is heard of can be asked for at once", () => {
  it("of the daemon that told it, also before it is stored", async () => {
    await using daemon = await startTestDaemon();
    await create(daemon);
    assert.deepEqual(await errorsOf(daemon, liveOn(daemon.client)), []);
  });

  it("of any daemon, once it is stored", async (test) => {
    await using daemon = await startTestDaemon();
    await create(daemon);
    // Each has a repository of its own.
    const compositions = join(await temporaryFolder(test), "compositions");
    await cp(daemon.config.compositions, compositions, { recursive: true });
    const url = await daemon.adminUrl();
    await using _ = await startTestDaemon({ config: { nats: { kind: "external", url }, compositions } });
    const { username: user, password: pass, host } = new URL(url); // the library takes a password that begins with a digit for the port
    const operator = await connect({ servers: host, user, pass });
    try {
      const stored: Listen = async (filter_subjects, onEvent) => {
        const options = { filter_subjects, deliver_policy: DeliverPolicy.New } as const;
        const consumer = await jetstream(operator).consumers.get("EVENTS", options);
        await consumer.consume({ callback: (message) => onEvent(message.json()) });
      };
      assert.deepEqual(await errorsOf(daemon, stored), []);
    } finally {
      await operator.close();
    }
  });
});

test("what is heard to have happened has happened for whoever asks at once", async () => {
  await using daemon = await startTestDaemon();
  await create(daemon);
  const { ask, client } = daemon;
  const answers: Promise<boolean>[] = [];
  const wrong: string[] = [];
  for (const [event, command, inputOf, isSo] of facts) {
    await liveOn(client)(`event.${event}`, (heard) => {
      const answer = ask<Reply>(command, inputOf(heard)).then((reply) => isSo(reply, heard));
      answers.push(answer);
      answer.then(
        (isRight) => isRight || wrong.push(`${command} at ${event}`),
        (error: Error) => wrong.push(`${command} at ${event}: ${error.message}`),
      );
    });
  }
  const lives = [
    async () => {
      const { run_id } = await ask<Heard>("orchestration:start", { pattern: "quick" });
      for (const command of ["pause", "resume", "cancel"]) await ask(`orchestration:${command}`, { run_id });
    },
    async () => void (await ask("orchestration:start", { pattern: "brief" })),
    async () => {
      const { agent_id } = await ask<Heard>("agent:spawn", { profile: "listener" });
      for (const command of ["pause", "resume", "terminate"]) await ask(`agent:${command}`, { agent_id });
    },
    async () => {
      const { id, hash } = await ask<Heard>("approval:request", { action: { ask: "May I?" } });
      await ask("approval:decide", { id, hash, decision: "approve", by: "Ada" });
    },
  ];
  await Promise.all(lives.flatMap((live) => Array.from({ length: count }, live)));
  const told = { quick: 3, brief: 2, agents: 4, approvals: 2 };
  await until(() => answers.length === count * Object.values(told).reduce((sum, one) => sum + one), "everything to be heard of");
  await Promise.allSettled(answers);
  assert.deepEqual(wrong, []);
});

test("who ends or holds an agent as soon as it is heard of ends or holds its run", async () => {
  await using daemon = await startTestDaemon();
  await create(daemon);
  const { ask, client } = daemon;
  const done: Promise<unknown>[] = [];
  await liveOn(client)("event.agent.spawned", ({ agent_id }) => {
    done.push(ask(done.length % 2 === 0 ? "agent:terminate" : "agent:pause", { agent_id }));
  });
  const spawned = await Promise.all(
    Array.from({ length: count }, () => ask<Heard>("agent:spawn", { profile: "listener", pattern: "quick" })),
  );
  await Promise.all(done);
  const states = async ({ agent_id, run_id }: Heard) => [
    (await ask<Reply>("agent:info", { agent_id })).state,
    (await ask<Reply>("orchestration:status", { run_id })).state,
  ];
  const expected: Record<string, string> = { terminated: "cancelled", paused: "paused" };
  const all = await Promise.all(spawned.map(states));
  assert.deepEqual(
    all.map(([, run]) => run),
    all.map(([agent = ""]) => expected[agent]),
  );
  assert.equal(done.length, count);
});

test("an experiment that is stopped as soon as it is heard of stays stopped", async () => {
  await using daemon = await startTestDaemon();
  await create(daemon);
  const { ask, client } = daemon;
  const stopped: Promise<Experiment>[] = [];
  await liveOn(client)("event.experiment.started", ({ name }) => {
    if (name !== "last") stopped.push(ask<Experiment>("experiment:stop", { name }));
  });
  const start = (name: string, runs: number) => ask("experiment:start", { name, variants: ["brief", "other"], runs });
  await Promise.all(["one", "two", "three"].map((name) => start(name, 10)));
  const told = await Promise.all(stopped);
  assert.deepEqual(
    told.map(({ state }) => state),
    ["stopped", "stopped", "stopped"],
  );
  const statusOf = async (name: string) => (await ask<{ experiments: Experiment[] }>("experiment:status", { name })).experiments[0];
  // Meanwhile the others would have been played.
  await start("last", 10);
  await until(async () => (await statusOf("last"))?.state === "exhausted", "another experiment to be over");
  for (const { name, state, played } of told) {
    const now = await statusOf(name);
    assert.deepEqual([now?.state, now?.played], [state, played], name);
  }
});

async function create({ ask }: TestDaemon): Promise<void> {
  await ask("composition:create", { type: "orchestration", name: "quick", content: pattern });
  await ask("composition:create", { type: "orchestration", name: "brief", content: patternText("RETURN 1", "", "brief") });
  await ask("composition:create", { type: "orchestration", name: "other", content: patternText("RETURN 1", "", "other") });
  await ask("composition:create", { type: "profile", name: "listener", content: listener });
}
