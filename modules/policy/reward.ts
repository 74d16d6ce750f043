/** Reward definitions as data, and what an outcome is worth by them (FORMULAS, "Rewards"). Every reward lies in [-1, 1]. */
import { z } from "zod";

const weight = z.number().min(0).max(1_000);

export const rewardDefinition = z.discriminatedUnion("kind", [
  z
    .strictObject({
      kind: z.literal("linear"),
      success: z.number().min(-1).max(1).default(1).describe("of an outcome that succeeded and has no grade of its own"),
      failure: z.number().min(-1).max(1).default(0),
      cost: weight.default(0).describe("λ: subtracted for each unit of cost"),
      latency: weight.default(0).describe("μ: subtracted for each second"),
    })
    .describe("grade − λ cost − μ latency, where the grade is the reward that was given, or else success or failure"),
  z
    .strictObject({
      kind: z.literal("preference"),
      success: weight.default(1),
      cost: z.strictObject({ weight, most: z.number().positive() }).optional(),
      latency: z.strictObject({ weight, most: z.number().positive() }).optional().describe("most in seconds"),
    })
    .describe("the weighted mean of success, thrift and speed, each from 0 (at `most` or beyond) to 1; 0 for what failed"),
]);
export type RewardDefinition = z.output<typeof rewardDefinition>;

/** Success 1, failure 0, or the grade that was given. */
export const defaultReward: RewardDefinition = { kind: "linear", success: 1, failure: 0, cost: 0, latency: 0 };

export interface MeasuredOutcome {
  /** A grade; without it success decides. */
  readonly reward?: number | undefined;
  readonly success?: boolean | undefined;
  readonly cost?: number | undefined;
  readonly latency_ms?: number | undefined;
}

/** @returns within [-1, 1] */
export function rewardOf(definition: RewardDefinition, outcome: MeasuredOutcome): number {
  return Math.max(-1, Math.min(1, definition.kind === "linear" ? linear(definition, outcome) : preference(definition, outcome)));
}

function linear(
  { success, failure, cost, latency }: Extract<RewardDefinition, { kind: "linear" }>,
  { reward, success: succeeded, cost: spent = 0, latency_ms = 0 }: MeasuredOutcome,
): number {
  const grade = reward ?? (succeeded ? success : failure);
  return grade - cost * spent - latency * (latency_ms / 1_000);
}

/** After ToolOrchestra (arXiv 2511.21689), with fixed ranges instead of a batch's, so that one outcome's reward depends on nothing else. */
function preference(
  { success, cost, latency }: Extract<RewardDefinition, { kind: "preference" }>,
  { reward, success: succeeded, cost: spent = 0, latency_ms = 0 }: MeasuredOutcome,
): number {
  const grade = reward ?? (succeeded ? 1 : 0);
  if (grade <= 0) return 0;
  const parts = [
    { weight: success, value: grade },
    { weight: cost?.weight ?? 0, value: 1 - Math.min(1, spent / (cost?.most ?? 1)) },
    { weight: latency?.weight ?? 0, value: 1 - Math.min(1, latency_ms / 1_000 / (latency?.most ?? 1)) },
  ];
  const total = parts.reduce((sum, part) => sum + part.weight, 0);
  return total === 0 ? 0 : parts.reduce((sum, part) => sum + part.weight * part.value, 0) / total;
}
