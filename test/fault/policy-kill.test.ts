import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { temporaryFolder } from "../harness/git.ts";
import { rounds } from "../harness/rounds.ts";
import { readStoredEvents, type StoredEvent } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const slot = "lamp";
const candidates = [{ id: "red" }, { id: "green" }];
/** Choices are easy to learn and the serving policy never does: promotions follow. */
const section = "learning:\n  baseline: uniform\n  learn: [linucb, kto]\n";

interface Listed {
  readonly serving: string;
  readonly contender?: { readonly policy: string; readonly role: string };
  readonly checkpoints: readonly { readonly sha256: string; readonly outcomes: number }[];
  readonly outcomes: number;
}

test("kill -9 while policies are trained and promoted: the same policy serves, and every outcome is there once", async (t) => {
  const cwd = await temporaryFolder(t);
  await writeFile(join(cwd, "reprise.yaml"), section);
  await using daemon = await startDaemonProcess({ cwd });
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const choosers = startChoosers(client, 8);
  const kills = rounds(6, 60);
  for (let round = 0; round < kills; round++) {
    const before = choosers.joined.length;
    await until(() => choosers.joined.length >= before + 150, "outcomes to get on", 120_000);
    await pause(Math.random() * 2_000); // at any moment of a training, a checkpoint, a promotion
    await daemon.kill("SIGKILL");
    await daemon.restart();
    // A promotion may come between the two looks.
    const listed = await until(async () => {
      const found = await list(client);
      return found.serving === servingBy(await readStoredEvents(daemon)) && found;
    }, "the policy that the log says last");
    const { policy } = await request<{ policy: string }>(client, "policy:select", { slot, candidates });
    assert.ok(
      [listed.serving, listed.contender?.policy].some((label) => label?.split("@")[0] === policy),
      `${policy} answers`,
    );
  }
  await choosers.finish();
  await until(async () => (await list(client)).checkpoints.length > 0, "a checkpoint", 120_000);

  const events = await readStoredEvents(daemon);
  const settled = events.filter(({ type }) => type === "policy:outcome_recorded").map(({ data }) => data.decision_id);
  assert.deepEqual(
    choosers.joined.filter((id) => !settled.includes(id)),
    [],
    "no acknowledged outcome is missing",
  );
  assert.equal((await list(client)).outcomes, new Set(settled).size, "each counts once");
  const promotions = events.filter(({ type }) => type === "policy:promoted").length;
  assert.ok(promotions > 0, "something was promoted");
  const { checkpoints } = await list(client);
  t.diagnostic(
    `${kills} kills, ${choosers.joined.length} outcomes acknowledged, ${settled.length} stored, ${checkpoints.length} checkpoints, ${promotions} promotions`,
  );
});

/** The label that the promotions and rollbacks of the log lead to. */
function servingBy(events: readonly StoredEvent[]): string {
  let serving = "uniform";
  for (const { type, data } of events) {
    if (type === "policy:promoted" && data.stage === "serving") serving = String(data.policy);
    if (type === "policy:rolled_back") serving = String(data.to);
  }
  return serving;
}

const list = async (client: NatsConnection): Promise<Listed> => {
  const { slots } = await until(() => request<{ slots?: Listed[] }>(client, "policy:list", { slot }).catch(() => undefined), "policy:list");
  return slots?.[0] as Listed;
};

const request = async <Reply>(client: NatsConnection, subject: string, body: object): Promise<Reply> =>
  (await client.request(subject, JSON.stringify(body), { timeout: 5_000 })).json<Reply>();

interface Choosers {
  /** Decisions whose outcome was acknowledged. */
  readonly joined: readonly string[];
  finish(): Promise<void>;
}

/** Each chooses, and gives the outcome until it is acknowledged. */
function startChoosers(client: NatsConnection, number: number): Choosers {
  const joined: string[] = [];
  let finishing = false;
  async function choose(chooser: number): Promise<void> {
    for (let count = 0; !finishing; count++) {
      const time = (chooser + count) % 2 === 0 ? "day" : "night";
      const made = await request<{ decision_id?: string; choice: string }>(client, "policy:select", {
        slot,
        context: { time },
        candidates,
      }).catch(() => undefined);
      if (made?.decision_id === undefined) {
        await pause(20);
        continue;
      }
      const outcome = { decision_id: made.decision_id, success: made.choice === (time === "day" ? "red" : "green") };
      while (!finishing) {
        const reply = await request<{ joined?: boolean }>(client, "policy:outcome", outcome).catch(() => undefined);
        if (reply?.joined !== undefined) {
          joined.push(made.decision_id);
          break;
        }
        await pause(20);
      }
    }
  }
  const working = Promise.all(Array.from({ length: number }, (_, chooser) => choose(chooser)));
  return {
    joined,
    async finish() {
      finishing = true;
      await working;
    },
  };
}
