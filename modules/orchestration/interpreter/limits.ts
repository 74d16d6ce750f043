/** What a run may use up before it is stopped (invariant 8). */
import { z } from "zod";
import { CodedError } from "../../../daemon/errors.ts";

export const limits = z.strictObject({
  steps: z.number().int().positive().max(1_000_000).describe("effects: events, commands, tools, choices, outcomes, decisions, waits"),
  seconds: z.number().positive().max(604_800).describe("time in which the run is played"),
  depth: z.number().int().positive().max(16).describe("runs started by runs, counted from the first, which has depth 1"),
  children: z.number().int().positive().max(1_000).describe("runs that one run starts"),
  tokens: z.number().int().positive().max(1_000_000_000).describe("of models, together with all runs that it starts"),
  cost: z
    .number()
    .positive()
    .max(1_000_000)
    .describe("money, in the currency of the configured prices, together with all runs that it starts"),
  repeats: z.number().int().min(2).max(1_000_000).describe("identical actions one after another, or identical rounds of up to four"),
});
export type Limits = Readonly<z.output<typeof limits>>;

/** For scripted and hybrid runs, in which loops are the author's. */
export const defaultLimits: Limits = { steps: 10_000, seconds: 600, depth: 4, children: 20, tokens: 200_000, cost: 10, repeats: 10_000 };

/** For runs whose every action is a model's idea. */
export const thinkingLimits: Limits = { ...defaultLimits, steps: 50, repeats: 5 };

/** Statements without effect cost little, yet a loop of them must end. */
export const maximumStatements = 1_000_000;

export function limitExceeded(limit: string, allowed: number): CodedError {
  return new CodedError("RUN_LIMIT_EXCEEDED", `The run reached its limit of ${allowed} ${limit}.`, { limit, allowed });
}
