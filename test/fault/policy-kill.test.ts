import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { temporaryFolder } from "../harness/git.ts";
import { startPolicyLoad } from "../harness/policy-load.ts";
import { assertPoliciesSound, firstOutcomes, listSlot } from "../harness/policy-state.ts";
import { rounds } from "../harness/rounds.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

/** Choices are easy to learn and the serving policy never does: promotions follow. */
const section = "learning:\n  baseline: uniform\n  learn: [linucb, kto]\n";
const slots = ["lamp", "lantern"];

test("kill -9 while policies are trained, kept, promoted and rolled back: the same serve, and every outcome is there once", async (t) => {
  const cwd = await temporaryFolder(t);
  await writeFile(join(cwd, "reprise.yaml"), section);
  await using daemon = await startDaemonProcess({ cwd });
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask } = askerOn(client);
  await ask("policy:configure", { slot: "lantern", learn: ["reinforce"] });

  const load = startPolicyLoad(client, slots);
  const checked = new Set<string>();
  const [kills, serverKills] = [rounds(6, 60), rounds(1, 12)];
  for (let round = 0; round < kills + serverKills; round++) {
    const before = load.joined.length;
    await until(() => load.joined.length >= before + 150, "outcomes to get on", 120_000);
    if (round % 10 === 5) void ask("policy:rollback", { slot: "lamp" }).catch(() => undefined); // there may be none
    await pause(Math.random() * 2_000); // at any moment of a training, a checkpoint, a promotion
    if (round < kills) {
      await daemon.kill("SIGKILL");
      await daemon.restart();
    } else {
      const pid = await daemon.serverPid();
      process.kill(pid, "SIGKILL");
      await until(async () => (await daemon.serverPid().catch(() => pid)) !== pid, "another server");
    }
    await load.rest();
    for (const slot of slots) {
      const { serving, contender } = await assertPoliciesSound(daemon, client, slot, "uniform", checked);
      const { policy } = await ask<{ policy: string }>("policy:select", { slot, candidates: [{ id: "red" }, { id: "green" }] });
      assert.ok(
        [serving, contender?.policy].some((label) => label?.split("@")[0] === policy),
        `${policy} answers`,
      );
    }
    load.goOn();
  }
  await until(
    async () => {
      const { contender, refused } = await listSlot(client, "lamp");
      return contender !== undefined || refused.length > 0;
    },
    "a promotion",
    120_000,
  );
  await load.finish();
  for (const slot of slots) await assertPoliciesSound(daemon, client, slot, "uniform", checked);

  const events = await readStoredEvents(daemon);
  const settled = new Set(slots.flatMap((slot) => firstOutcomes(events, slot)).map(({ data }) => data.decision_id));
  assert.deepEqual(
    load.joined.filter((id) => !settled.has(id)),
    [],
    "no acknowledged outcome is missing",
  );
  const selected = Map.groupBy(
    events.filter(({ type }) => type === "policy:selected"),
    ({ data }) => data.request,
  );
  for (const [request, decision] of load.answered) {
    assert.deepEqual(
      selected.get(request)?.map(({ id }) => id),
      [decision],
      "what is asked again is not chosen again",
    );
  }
  const count = (type: string, stage?: string) =>
    events.filter((event) => event.type === type && (stage === undefined || event.data.stage === stage)).length;
  assert.ok(count("policy:promoted") > 0, "something was promoted");
  assert.ok(checked.size > 0, "something was trained");
  t.diagnostic(
    `${kills} kills of the daemon, ${serverKills} of nats-server, ${load.joined.length} outcomes acknowledged, ${settled.size} stored, ` +
      `${count("policy:trained")} trainings of ${checked.size} checkpoints, trials ${count("policy:promoted", "trial")}, ` +
      `promotions ${count("policy:promoted", "serving")}, rollbacks ${count("policy:rolled_back")}`,
  );
});
