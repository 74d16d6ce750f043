/** How a slot is told about: what serves it, how its contender does, its checkpoints. */
import { z } from "zod";
import { featureSpec } from "./features/choice.ts";
import { architecture, smallNetwork } from "./neural/architecture.ts";
import { defaultReward, rewardDefinition } from "./reward.ts";
import { outcomeSource } from "./schema.ts";
import { isRefused, labelOf, type SlotState } from "./serving/slot-state.ts";
import type { State } from "./state.ts";

/** Of an evaluation, or a comparison. */
export const figures = z.record(z.string(), z.unknown());

export const checkpointFields = z.object({
  policy: z.string(),
  sha256: z.string(),
  bytes: z.int(),
  outcomes: z.int().describe("of the slot that it learned from"),
  feature_spec: z.string(),
  network: architecture.optional(),
  backend: z.string().optional().describe("what computed it: the same outcomes give the same bits on the same backend"),
  seed: z.int(),
  trained_at: z.string(),
  report: z.record(z.string(), z.number()),
});

export const slotFields = z.object({
  slot: z.string(),
  serving: z.string(),
  contender: z
    .object({ policy: z.string(), role: z.enum(["trial", "guard"]), share: z.number(), since: z.int() })
    .optional()
    .describe("the other policy with a share of the selections: on trial, or the one that served before"),
  live: figures.optional().describe("how the contender does beside the serving policy"),
  before: z.array(z.string()),
  refused: z.array(z.string()),
  frozen: z.boolean(),
  learn: z.array(z.string()),
  features: featureSpec.describe("how its contexts and candidates become numbers"),
  network: architecture.describe("what its kto and reinforce are like when they are trained next"),
  reward: rewardDefinition,
  outcome_from: outcomeSource.shape.event.optional(),
  checkpoints: z.array(checkpointFields),
  outcomes: z.int(),
});

/** What the commands of the gate answer about a slot. */
export const viewOf = (slot: string, { slots, ledger, gate }: State): z.input<typeof slotFields> => {
  const state = slots.of(slot);
  const { outcomes } = ledger.tally(slot);
  const {
    serving,
    contender,
    before,
    refused,
    frozen,
    learn,
    features,
    network = smallNetwork,
    checkpoints,
    outcome_from,
    reward = defaultReward,
  }: SlotState = state;
  const live = gate.live(slot);
  return {
    slot,
    serving: labelOf(serving),
    ...(contender && {
      contender: { policy: labelOf(contender.deployment), role: contender.role, share: contender.share, since: contender.since },
    }),
    ...(live && { live: { ...live } }),
    before: before.map(labelOf),
    refused: refused.filter((label) => isRefused(state, label, outcomes)),
    frozen,
    learn: [...learn],
    features,
    network,
    reward,
    ...(outcome_from && { outcome_from }),
    checkpoints: checkpoints.map((one) => ({ ...one, report: { ...one.report } })),
    outcomes,
  };
};
