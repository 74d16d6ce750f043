import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultReward, rewardDefinition, rewardOf } from "../../modules/policy/reward.ts";

describe("rewardOf", () => {
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

  it("is refused with unknown fields, negative weights and ranges of nothing", () => {
    for (const wrong of [
      { kind: "linear", cots: 1 },
      { kind: "linear", cost: -1 },
      { kind: "preference", cost: { weight: 1, most: 0 } },
      { kind: "other" },
    ]) {
      assert.equal(rewardDefinition.safeParse(wrong).success, false);
    }
  });
});
