/** Whoever hears of an event asks about it at once: no daemon may then know less than was heard. */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { temporaryFolder } from "../harness/git.ts";
import { until } from "../harness/until.ts";

interface Heard {
  readonly id: string;
  readonly hash: string;
  readonly run_id: string;
  readonly agent_id: string;
  readonly decision_id: string;
  readonly message_id: string;
  readonly in_reply_to?: string;
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

/** Calls back for each event on the subject, from now on. Resolves when it listens. */
type Listen = (subject: string, onEvent: (heard: Heard) => void) => Promise<unknown>;

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
    const live: Listen = async (subject, onEvent) => {
      daemon.client.subscribe(subject, { callback: (_, message) => onEvent(message.json()) });
      await daemon.client.flush();
    };
    assert.deepEqual(await errorsOf(daemon, live), []);
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

async function create({ ask }: TestDaemon): Promise<void> {
  await ask("composition:create", { type: "orchestration", name: "quick", content: pattern });
  await ask("composition:create", { type: "profile", name: "listener", content: listener });
}
