import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  counted,
  defaultReward,
  gradeOf,
  type MeasuredOutcome,
  type RewardDefinition,
  rewardDefinition,
} from "../../modules/policy/reward.ts";

const rewardOf = (definition: RewardDefinition, outcome: MeasuredOutcome) => gradeOf(definition, outcome).reward;

describe("the reward of an outcome", () => {
  it("is success less cost and time, by their weights", () => {
    const definition = rewardDefinition.parse({ kind: "linear", failure: -1, cost: 0.1, latency: 0.05 });
    assert.equal(rewardOf(definition, { success: true, cost: 2, latency_ms: 4_000 }), 1 - 0.2 - 0.2);
    assert.equal(rewardOf(definition, { success: false }), -1);
  });

  it("takes a grade before success, and success as 1 and failure as 0 by default", () => {
    assert.equal(rewardOf(defaultReward, { reward: 0.3, success: true }), 0.3);
    assert.deepEqual(
      [true, false, undefined].map((success) => rewardOf(defaultReward, { success })),
      [1, 0, 0],
    );
    assert.deepEqual(rewardDefinition.parse({ kind: "linear" }), defaultReward);
  });

  it("never leaves [-1, 1]", () => {
    const dear = rewardDefinition.parse({ kind: "linear", cost: 1_000 });
    assert.equal(rewardOf(dear, { success: true, cost: 1e9 }), -1);
    assert.equal(rewardOf(defaultReward, { reward: 1e300 }), 1);
  });

  it("weighs success, thrift and speed by preference, and gives nothing for what failed", () => {
    const definition = rewardDefinition.parse({
      kind: "preference",
      success: 2,
      cost: { weight: 1, most: 10 },
      latency: { weight: 1, most: 4 },
    });
    assert.equal(rewardOf(definition, { success: true, cost: 5, latency_ms: 1_000 }), (2 + 0.5 + 0.75) / 4);
    assert.equal(rewardOf(definition, { success: true, cost: 99, latency_ms: 99_000 }), 0.5);
    assert.equal(rewardOf(definition, { success: false, cost: 0 }), 0);
  });

  it("weighs how often tools were called: the more the better, or the fewer, within their ranges", () => {
    const definition = rewardDefinition.parse({
      kind: "preference",
      success: 2,
      tools: { search: { weight: 1, most: 4 }, browser: { weight: -1, most: 2 } },
    });
    assert.equal(rewardOf(definition, { success: true, tools: { search: 2, other: 9 } }), (2 + 0.5 + 1) / 4);
    assert.equal(rewardOf(definition, { success: true, tools: { search: 99, browser: 5 } }), (2 + 1 + 0) / 4);
    assert.equal(rewardOf(definition, { success: false, tools: { search: 4 } }), 0);
  });

  it("says when it was clipped: the grade, or what came of it", () => {
    const dear = rewardDefinition.parse({ kind: "linear", cost: 0.5 });
    const clipped = (outcome: MeasuredOutcome) => gradeOf(dear, outcome);
    assert.deepEqual(clipped({ reward: 7, cost: 1 }), { reward: 0.5, clipped: true, missing: [] });
    assert.deepEqual(clipped({ success: true, cost: 100 }), { reward: -1, clipped: true, missing: [] });
    assert.deepEqual(clipped({ reward: 1, cost: 4 }), { reward: -1, clipped: false, missing: [] });
  });

  it("says what it counts and nobody measured, and is graded without", () => {
    const linear = rewardDefinition.parse({ kind: "linear", cost: 0.1, latency: 0.1 });
    assert.deepEqual(gradeOf(linear, { success: true, latency_ms: 1_000 }), { reward: 0.9, clipped: false, missing: ["cost"] });
    assert.deepEqual(gradeOf(linear, { success: true }).missing, ["cost", "latency"]);
    assert.deepEqual(gradeOf(defaultReward, { success: true }).missing, []);
    const thrifty = rewardDefinition.parse({ kind: "preference", success: 1, cost: { weight: 3, most: 10 } });
    assert.deepEqual(gradeOf(thrifty, { success: true, cost: 10 }), { reward: 0.25, clipped: false, missing: [] });
    assert.deepEqual(gradeOf(thrifty, { reward: 0.6 }), { reward: 0.6, clipped: false, missing: ["cost"] });
    assert.deepEqual(counted(rewardDefinition.parse({ kind: "preference", tools: { search: { weight: 0, most: 1 } } })), []);
    assert.deepEqual(counted(rewardDefinition.parse({ kind: "preference", tools: { search: { weight: 1, most: 1 } } })), ["tools"]);
  });

  it("is refused with unknown fields, negative weights and ranges of nothing", () => {
    for (const wrong of [
      { kind: "linear", cots: 1 },
      { kind: "linear", cost: -1 },
      { kind: "preference", cost: { weight: 1, most: 0 } },
      { kind: "preference", tools: { search: { weight: 1 } } },
      { kind: "other" },
    ]) {
      assert.equal(rewardDefinition.safeParse(wrong).success, false);
    }
  });
});
