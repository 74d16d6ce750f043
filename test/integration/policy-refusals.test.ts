import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ErrorCode } from "../../daemon/errors.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import type { Checkpoint } from "../../modules/policy/serving/slot-state.ts";
import { failsWith } from "../harness/fails-with.ts";
import { candidates, play, slot, startPolicy, stateWith } from "../harness/lamp-slot.ts";

const sha256 = "0123456789abcdef".repeat(4);
const trained: Checkpoint = {
  policy: "kto",
  sha256,
  bytes: 1,
  outcomes: 10,
  feature_spec: defaultSpec.version,
  seed: 1,
  trained_at: "2026-01-01T00:00:00.000Z",
  report: {},
};

describe("a refusal says what there is instead, or what to do", () => {
  const refused = (what: string, command: string, request: object, code: ErrorCode, message: RegExp) =>
    it(what, async () => {
      await using policy = await startPolicy({ state: await stateWith({ checkpoints: [trained] }) });
      await assert.rejects(policy.call(command, { slot, ...request }), failsWith(code, message));
    });
  const all = /there are uniform, best_so_far, linucb, thompson, kto, reinforce\./;
  refused("of a policy that a choice asks for", "policy:select", { candidates, policy: "oracle" }, "POLICY_UNKNOWN", all);
  refused("of a policy that is to be trained", "policy:train", { policy: "oracle" }, "POLICY_UNKNOWN", all);
  const none = { policy: "kto", checkpoint: "fedcba98" };
  refused("of a checkpoint", "policy:evaluate", none, "POLICY_UNKNOWN", /no checkpoint fedcba98 of kto in lamp; there are 0123456789ab\./);
  refused("of the first checkpoint", "policy:promote", { ...none, policy: "reinforce" }, "POLICY_UNKNOWN", /; there is none\./);
  const lost = /^kto@0123456789ab, a checkpoint of lamp, is missing or damaged .*policy:list .*policy:train/;
  refused("of a checkpoint that is lost", "policy:evaluate", { policy: "kto" }, "POLICY_STATE_INVALID", lost);
});

it("a promotion that has too little to go by says how much there is of what is needed", async () => {
  await using policy = await startPolicy({ settings: { baseline: "uniform", learn: [] } });
  await play(policy, 60);
  const promote = () => policy.call("policy:promote", { slot, policy: "linucb" });
  await assert.rejects(
    promote,
    failsWith("PROMOTION_REFUSED", /not enough data; there are 30 outcomes to judge it by, and 500 are needed/),
  );
});

it("a trial that is not over says how many outcomes it has of those that are needed", async () => {
  const contender = { deployment: { policy: "linucb" }, role: "trial", share: 0.5, since: 0, comparison: 1 } as const;
  const state = await stateWith({ serving: { policy: "uniform" }, contender, comparisons: 1 });
  await using policy = await startPolicy({ state });
  await play(policy, 30);
  const message = /not enough data; it has \d+ outcomes on trial; 100 are needed/;
  await assert.rejects(policy.call("policy:promote", { slot, policy: "linucb" }), failsWith("PROMOTION_REFUSED", message));
});
