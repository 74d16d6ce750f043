import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Gate } from "../../modules/policy/gate.ts";

const checkpoint = (sha256: string, outcomes: number, feature_spec = "1") => ({ policy: "kto", sha256, outcomes, feature_spec });

describe("the checkpoint that is meant by the name of its policy", () => {
  const meant = (...checkpoints: readonly ReturnType<typeof checkpoint>[]) => {
    const slots = { of: () => ({ checkpoints, features: { version: "1" } }) };
    return new Gate({ slots } as never).deploymentOf("s", "kto").checkpoint;
  };

  it("is the one that learned from the most, also when another was finished later", () => {
    assert.equal(meant(checkpoint("later", 1_200), checkpoint("larger", 1_680), checkpoint("first", 400)), "larger");
  });

  it("is the newest of those that learned from as much", () => {
    assert.equal(meant(checkpoint("newest", 400), checkpoint("older", 400)), "newest");
  });

  it("is one of the slot's features, if there is any", () => {
    assert.equal(meant(checkpoint("other features", 4_000, "2"), checkpoint("its features", 400)), "its features");
    assert.throws(() => meant(checkpoint("other features", 4_000, "2")), { code: "POLICY_STATE_INVALID" });
  });
});
