/** Reward definitions as data, and what an outcome is worth by them. Every reward lies in [-1, 1]. */
import { z } from "zod";

const weight = z.number().min(0).max(1_000);
const most = z.number().positive();

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
      cost: z.strictObject({ weight, most }).optional(),
      latency: z.strictObject({ weight, most }).optional().describe("most in seconds"),
      tools: z
        .record(z.string().max(128), z.strictObject({ weight: z.number().min(-1_000).max(1_000), most }))
        .refine((tools) => Object.keys(tools).length <= 64, "at most 64 tools")
        .optional()
        .describe("by name: how many calls of it count fully; with a weight below 0, the fewer the better"),
    })
    .describe("the weighted mean of success, thrift, speed and calls of tools, each from 0 to 1 (within `most`); 0 for what failed"),
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
  /** Calls of each tool; one that is not named was not called. */
  readonly tools?: Readonly<Record<string, number>> | undefined;
}

export interface Graded {
  /** Within [-1, 1]. */
  readonly reward: number;
  /** The grade, or what came of it, was beyond. */
  readonly clipped: boolean;
  /** What the definition counts and nobody measured: graded without. */
  readonly missing: readonly Measure[];
}

export const measure = z.enum(["cost", "latency", "tools"]);
type Measure = z.output<typeof measure>;

export function gradeOf(definition: RewardDefinition, outcome: MeasuredOutcome): Graded {
  const given = outcome.reward === undefined ? undefined : clip(outcome.reward);
  const graded = { ...outcome, reward: given };
  const reward = definition.kind === "linear" ? linear(definition, graded) : preference(definition, graded);
  const measured: Record<Measure, boolean> = {
    cost: outcome.cost !== undefined,
    latency: outcome.latency_ms !== undefined,
    tools: outcome.tools !== undefined,
  };
  return {
    reward: clip(reward),
    clipped: given !== outcome.reward || clip(reward) !== reward,
    missing: counted(definition).filter((each) => !measured[each]),
  };
}

const clip = (value: number): number => Math.max(-1, Math.min(1, value));

/** What it takes to grade an outcome, beside its success. */
export function counted(definition: RewardDefinition): Measure[] {
  const weights: Record<Measure, boolean> =
    definition.kind === "linear"
      ? { cost: definition.cost > 0, latency: definition.latency > 0, tools: false }
      : {
          cost: (definition.cost?.weight ?? 0) > 0,
          latency: (definition.latency?.weight ?? 0) > 0,
          tools: Object.values(definition.tools ?? {}).some((tool) => tool.weight !== 0),
        };
  return measure.options.filter((each) => weights[each]);
}

function linear(
  { success, failure, cost, latency }: Extract<RewardDefinition, { kind: "linear" }>,
  { reward, success: succeeded, cost: spent = 0, latency_ms = 0 }: MeasuredOutcome,
): number {
  const grade = reward ?? (succeeded ? success : failure);
  return grade - cost * spent - latency * (latency_ms / 1_000);
}

/**
 * After ToolOrchestra (arXiv 2511.21689), within ranges that are given. That paper takes the least and the most of each batch: then
 * an outcome's worth would depend on what else was going on, change with every batch, and be another when it is counted again.
 */
function preference(
  { success, cost, latency, tools = {} }: Extract<RewardDefinition, { kind: "preference" }>,
  { reward, success: succeeded, cost: spent, latency_ms, tools: calls }: MeasuredOutcome,
): number {
  const grade = reward ?? (succeeded ? 1 : 0);
  if (grade <= 0) return 0;
  const share = (value: number, range: number) => Math.min(1, value / range);
  const parts = [{ weight: success, value: grade }];
  if (cost && spent !== undefined) parts.push({ weight: cost.weight, value: 1 - share(spent, cost.most) });
  if (latency && latency_ms !== undefined) parts.push({ weight: latency.weight, value: 1 - share(latency_ms / 1_000, latency.most) });
  if (calls !== undefined) {
    for (const [name, { weight, most }] of Object.entries(tools)) {
      const called = share(calls[name] ?? 0, most);
      parts.push({ weight: Math.abs(weight), value: weight < 0 ? 1 - called : called });
    }
  }
  const total = parts.reduce((sum, part) => sum + part.weight, 0);
  return total === 0 ? 0 : parts.reduce((sum, part) => sum + part.weight * part.value, 0) / total;
}
