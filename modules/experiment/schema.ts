/** What experiments are asked for and what is told of them. */
import { z } from "zod";

export const experimentName = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, "expected a name of lower case letters, digits, - _ .");
const variant = z.string().min(1).max(128);

export const startRequest = z.strictObject({
  name: experimentName,
  variants: z
    .array(variant)
    .min(2)
    .max(8)
    .refine((variants) => new Set(variants).size === variants.length, "variants must differ")
    .describe("names of patterns; without `runs`, of whatever is compared"),
  mode: z
    .enum(["ab", "bandit"])
    .default("ab")
    .describe("equal odds all the time; or odds that follow the rewards, never below a fifth of that"),
  runs: z
    .int()
    .min(0)
    .max(10_000)
    .default(0)
    .describe("runs that the experiment plays by itself; else experiment:assign gives out variants"),
  inputs: z.record(z.string(), z.unknown()).default({}).describe("of the runs"),
});
export type StartRequest = z.output<typeof startRequest>;

const failure = z.object({ run_id: z.string(), variant: z.string().optional(), code: z.string(), message: z.string() });
const state = z.enum(["running", "decided", "exhausted", "stopped", "failed"]);

/** One in the module's state for each experiment. */
export interface Experiment extends StartRequest {
  readonly id: string;
  readonly by: { readonly kind: "client" | "agent" | "module"; readonly id: string; readonly capabilities?: readonly string[] };
  state: z.output<typeof state>;
  /** Runs that have their outcome. */
  played: number;
  /** Those of them that failed, and why the latest did. */
  failed?: number;
  last_failure?: z.output<typeof failure>;
  /** The run that is under way; its variant is unknown where an earlier version began it. */
  current?: { readonly variant?: string; readonly decision_id: string; readonly run_id: string } | undefined;
  /** What was known when it ended; absent where an earlier version ended it. */
  evidence?: Evidence;
  reason?: string;
  readonly started_at: string;
  ended_at?: string;
}

const side = z.object({ outcomes: z.int(), mean_reward: z.number() });
export const comparison = z.object({
  left: z.string(),
  right: z.string(),
  difference: z.number().describe("of the mean rewards, left less right"),
  interval: z.tuple([z.number(), z.number()]).describe("holds at all times, for all pairs together with 95 %"),
  verdict: z.enum(["left", "right", "not enough data"]),
});

export const status = z.object({
  name: z.string(),
  state,
  mode: z.enum(["ab", "bandit"]),
  verdict: z.string().describe("the winner, or: not enough data"),
  variants: z.array(side.extend({ variant: z.string() })),
  comparisons: z.array(comparison),
  runs: z.int(),
  played: z.int(),
  failed: z.int().describe("runs of those played that ended with an error: they count as no success"),
  last_failure: failure.optional(),
  reason: z.string().optional(),
  started_at: z.string(),
  ended_at: z.string().optional(),
});
export type Status = z.output<typeof status>;
export type Evidence = Pick<Status, "verdict" | "variants" | "comparisons">;

export const assignment = z.object({
  variant: z.string(),
  probability: z.number(),
  decision_id: z.string().describe("for policy:outcome"),
});
