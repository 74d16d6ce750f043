import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { temporaryFolder } from "../harness/git.ts";
import { lamps } from "../harness/policy-load.ts";
import { assertPoliciesSound, listSlot } from "../harness/policy-state.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { connectForEver } from "../harness/writers.ts";

const slot = "lamp";
const rounds = 1_100;
const atOnce = 20;

test("outcomes that are flipped, doubled, forged or extreme count at most once, at most 1, and promote nothing worse", async (t) => {
  const cwd = await temporaryFolder(t);
  await writeFile(join(cwd, "reprise.yaml"), "learning:\n  baseline: best_so_far\n  learn: []\n");
  await using daemon = await startDaemonProcess({ cwd });
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask, codeOf } = askerOn(client);
  const { agent_id: stranger } = await ask<{ agent_id: string }>("agent:spawn", { profile: "base_orchestrator" });
  const codes = new Set<string>();
  const refused = async (...given: Parameters<typeof codeOf>) => void codes.add(`${given[0]} ${await codeOf(...given)}`);

  const clipped = new Map<string, number>();
  async function play(round: number): Promise<void> {
    const time = round % 2 === 0 ? "day" : "night";
    const { decision_id, choice } = await ask<{ decision_id: string; choice: string }>("policy:select", {
      slot,
      context: { time },
      candidates: lamps,
    });
    const reward = choice === (time === "day" ? "red" : "green") ? 1 : 0;
    const flipped = { decision_id, reward: reward === 1 ? -1e308 : 1e308 };
    if (round % 50 === 0) {
      await refused("policy:outcome", flipped, { "ce-agent": stranger });
      await refused("policy:outcome", flipped, { "ce-agent": "nobody" });
      await refused("policy:outcome", flipped, { "ce-agent": stranger, "ce-source": "module/policy" });
      await refused("policy:link", { decision_id, outcome_from: { event: "run", id: "mine" } }, { "ce-agent": stranger });
      await refused("event:emit", { event: "policy:outcome_recorded", data: { ...flipped, slot, choice } });
      await refused("event:emit", { event: "policy:promoted", data: { slot, policy: "uniform", stage: "serving" } });
      for (const number of ["1e999", "-1e999", "NaN", '"1"', "null", "[1]"]) {
        await refused("policy:outcome", `{"decision_id": "${decision_id}", "reward": ${number}}`);
      }
      // NATS itself refuses what stands where the daemon alone writes.
      client.publish("event.policy.outcome_recorded", JSON.stringify({ ...flipped, slot, choice }));
    }
    // The owner lies about one of twenty, and says each several times at once, now this, now that.
    const [first, ...others] = round % 20 === 0 ? [flipped, flipped, flipped] : [{ decision_id, reward }];
    const replies = await Promise.all([first, ...others].map((outcome) => ask<{ joined: boolean }>("policy:outcome", outcome)));
    assert.equal(replies.filter(({ joined }) => joined).length, 1, "joined once");
    clipped.set(decision_id, Math.max(-1, Math.min(1, first?.reward ?? 0)));
    if (round % 10 === 0) assert.deepEqual(await ask("policy:outcome", flipped), { joined: false });
  }
  for (let round = 0; round < rounds; round += atOnce) await Promise.all(Array.from({ length: atOnce }, (_, index) => play(round + index)));

  assert.deepEqual([...codes].sort(), [
    "event:emit EVENT_RESERVED",
    "policy:link CAPABILITY_DENIED",
    "policy:outcome AGENT_UNKNOWN",
    "policy:outcome OUTCOME_FOREIGN",
    "policy:outcome REQUEST_INVALID",
    "policy:outcome REQUEST_MALFORMED",
  ]);
  const recorded = (await readStoredEvents(daemon)).filter(({ type }) => type === "policy:outcome_recorded");
  assert.deepEqual(new Map(recorded.map(({ data }) => [String(data.decision_id), Number(data.reward)])), clipped, "the first one, clipped");
  assert.equal(recorded.length, rounds, "each once");
  await assertPoliciesSound(daemon, client, slot, "best_so_far");
  assert.equal(await codeOf("policy:promote", { slot, policy: "uniform" }), "PROMOTION_REFUSED");
  assert.equal((await listSlot(client, slot)).serving, "best_so_far");
});
