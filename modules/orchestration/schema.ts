/** What runs are asked for and what is told of them, in commands and events. */
import { z } from "zod";
import { limits } from "./interpreter/limits.ts";

export const capabilities = z.array(z.string());

export const startRequest = z.strictObject({
  pattern: z.string(),
  profile: z.string().optional().describe("its capabilities bound those of the run"),
  inputs: z.record(z.string(), z.unknown()).optional().describe("values of the pattern's variables"),
  interpreter: z.enum(["scripted", "llm", "hybrid"]).default("scripted"),
  budget: limits.partial().optional(),
  capabilities: capabilities.optional().describe("allows less than pattern, profile and caller do"),
  agent_id: z.string().optional(),
  name: z.string().max(200).optional(),
});
export type StartRequest = Omit<z.output<typeof startRequest>, "interpreter">;

export const identity = {
  run_id: z.string(),
  agent_id: z.string().optional(),
  parent_run: z.string().optional(),
  pattern: z.string(),
  version: z.string(),
  commit: z.string(),
};

export const usage = z.object({ steps: z.number(), milliseconds: z.number().describe("time in which the run was played") });
export type Usage = z.output<typeof usage>;

export const stepError = z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()) });

const endState = z.enum(["completed", "failed", "cancelled"]);
export type EndState = z.output<typeof endState>;
export const runState = z.enum(["running", ...endState.options]);
export type RunState = z.output<typeof runState>;

/** One per run in the module's state: which runs are open, and what the latest were. */
export const runRecord = z.object({
  ...identity,
  name: z.string().optional(),
  state: runState,
  depth: z.number(),
  started_at: z.string(),
  ended_at: z.string().optional(),
});
export type RunRecord = z.output<typeof runRecord>;

const judgement = z.object({ line: z.number(), text: z.string() });
export type PassedJudgement = z.output<typeof judgement>;

export const runStatus = runRecord.extend({
  result: z.unknown().optional(),
  error: stepError.optional(),
  judgements: z.array(judgement).optional(),
  steps: z.number(),
  usage,
});
export type RunStatus = z.output<typeof runStatus>;
