/** What is trained, from what, and when it is not. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { experienceOf } from "../../modules/policy/learner/experience.ts";
import { failsWith } from "../harness/fails-with.ts";
import { best, candidates, play, slot, startPolicy, times } from "../harness/lamp-slot.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { until } from "../harness/until.ts";

/** The events of so many selections with their outcomes, as if they had been made one after another. */
function logOf(count: number): MemoryEventLog {
  const log = new MemoryEventLog();
  const append = (type: string, data: unknown, index: number) => {
    const id = `${type}-${index}`;
    log.append({ id, type, time: new Date(index).toISOString(), source: "policy", data, correlation: id, hops: 0 });
  };
  for (let index = 0; index < count; index++) {
    const [time = "", { id = "" } = {}] = [times[index % 3], candidates[Math.floor(index / 3) % 3]];
    const decision_id = `d${index}`;
    const odds = { probability: 1 / 3, scores: {}, reason: "", policy: "uniform", version: "1", deployment: "uniform", assigned: 1 };
    const request = { request: `r${index}`, slot, context: { time }, candidates, feature_spec: "1", by: "client:test" };
    append("policy:selected", { decision_id, choice: id, ...odds, ...request }, index);
    append("policy:outcome_recorded", { decision_id, slot, choice: id, reward: id === best[time] ? 1 : 0, source: "test" }, index);
  }
  return log;
}

describe("a training", () => {
  it("makes a transformer of the shape that the slot has, which serves what it is tried for", async () => {
    await using policy = await startPolicy({ settings: { baseline: "uniform", learn: [] } });
    const network = { kind: "transformer", width: 16, heads: 2, layers: 1 };
    const configured = await policy.call("policy:configure", { slot, network });
    assert.deepEqual(configured.network, network);
    await play(policy, 600);
    const checkpoint = await policy.call("policy:train", { slot, policy: "kto" });
    assert.deepEqual([checkpoint.network, checkpoint.outcomes], [network, 480]);
    assert.match(checkpoint.backend, /^(wasm|native)$/);
    await play(policy, 600);
    const onTrial = async () => (await policy.call("policy:list", { slot })).slots[0].contender;
    assert.match((await until(onTrial, "the trial", 60_000)).policy, /^kto@/);
    const chosenBy = await play(policy, 300);
    assert.ok(chosenBy.includes("kto"), "it has its share of the selections");
  });

  it("is of no network that could not serve", async () => {
    await using policy = await startPolicy();
    for (const [shape, reason] of [
      [{ width: 64, heads: 5 }, /the heads have to divide the width/],
      [{ width: 256, heads: 8, layers: 6 }, /too large to serve/],
    ] as const) {
      const network = { kind: "transformer", ...shape };
      await assert.rejects(policy.call("policy:configure", { slot, network }), failsWith("REQUEST_INVALID", reason));
      await assert.rejects(startPolicy({ settings: { network } }), reason);
    }
  });

  it("learns from the latest outcomes, and holds the last fifth of them out, after 60 000 as well", async () => {
    await using policy = await startPolicy({ log: logOf(60_000), settings: { learn: [] } });
    const { outcomes, report } = await policy.call("policy:train", { slot, policy: "kto" });
    assert.ok(outcomes >= 57_500 && outcomes <= 58_000, `up to ${outcomes}`);
    assert.ok(report.desirable >= 2_500 && report.desirable + report.undesirable >= 8_000, JSON.stringify(report));
    assert.ok(report.value > 0.9, "what was held out says that it has learned");
  });

  it("is told of each outcome whether it was better or worse than usual, as it was noted when the outcome came", async () => {
    await using policy = await startPolicy({ settings: { learn: [] } });
    for (const outcome of [{ reward: 0.5 }, { reward: 0.5, success: false }, { reward: 1 }, { reward: 0, success: true }]) {
      const { decision_id } = await policy.call("policy:select", { slot, candidates });
      await policy.call("policy:outcome", { decision_id, ...outcome });
    }
    const kept = [...policy.state.ledger.experience(slot, 4)].flat();
    assert.deepEqual(
      kept.map(({ desirable }) => desirable),
      [1, null, 1, 0],
    );
    assert.deepEqual(
      kept.map((outcome) => experienceOf(defaultSpec, outcome).desirable),
      [true, undefined, true, false],
    );
  });

  it("makes no checkpoint where there is nothing to learn, and says what is missing", async () => {
    await using policy = await startPolicy({ settings: { learn: [] } });
    const train = (name: string) => policy.call("policy:train", { slot, policy: name });
    await assert.rejects(train("kto"), failsWith("TRAINING_INSUFFICIENT", /of the 0 outcomes [^:]*: desirable 0, undesirable 0\.$/));
    await play(policy, 1);
    await assert.rejects(train("kto"), failsWith("TRAINING_INSUFFICIENT", /better than usual, and others that were worse.*desirable 0/));
    await assert.rejects(train("reinforce"), failsWith("TRAINING_INSUFFICIENT", /whole episodes/));
    assert.deepEqual((await policy.call("policy:list", { slot })).slots[0].checkpoints, []);
  });

  it("is refused while the slot is frozen", async () => {
    await using policy = await startPolicy({ settings: { learn: [] } });
    await play(policy, 40);
    await policy.call("policy:freeze", { slot });
    await assert.rejects(policy.call("policy:train", { slot, policy: "kto" }), failsWith("SLOT_FROZEN", /nothing is trained/));
    await policy.call("policy:freeze", { slot, frozen: false });
    assert.equal((await policy.call("policy:train", { slot, policy: "kto" })).outcomes, 32);
  });
});
