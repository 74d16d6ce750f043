/** What runs are asked for and what is told of them, in commands and events. */
import { z } from "zod";
import { limits } from "./interpreter/limits.ts";

export const capabilities = z.array(z.string());

export const interpreter = z.enum(["scripted", "llm", "hybrid"]);
export type Interpreter = z.output<typeof interpreter>;

export const startRequest = z.strictObject({
  pattern: z.string(),
  profile: z.string().optional().describe("its capabilities bound those of the run"),
  inputs: z.record(z.string(), z.unknown()).optional().describe("values of the pattern's variables"),
  interpreter: interpreter.default("scripted"),
  model: z.string().optional().describe("for the interpreters that think"),
  instructions: z.string().max(20_000).optional().describe("how to work, for the interpreters that think; default: the profile's prompt"),
  logic: z.string().optional().describe("name of the block of the pattern's logic; default: strategy"),
  budget: limits.partial().optional(),
  capabilities: capabilities.optional().describe("allows less than pattern, profile and caller do"),
  agent_id: z.string().optional(),
  name: z.string().max(200).optional(),
});
export type StartRequest = z.output<typeof startRequest>;

export const rerunRequest = z.strictObject({
  run_id: z.string(),
  from_step: z
    .string()
    .regex(/^\d{1,7}(\.\d{1,7})*$/, "expected the step of an entry in the journal")
    .describe("the first step that is done again"),
  inputs: z.record(z.string(), z.unknown()).optional().describe("in place of those of that run"),
});
export type RerunRequest = z.output<typeof rerunRequest>;

/** The run whose steps were taken over, up to one. */
export const lineage = z.object({ run_id: z.string(), from_step: z.string() });
export type Lineage = z.output<typeof lineage>;

export const identity = {
  run_id: z.string(),
  agent_id: z.string().optional(),
  parent_run: z.string().optional(),
  pattern: z.string(),
  version: z.string(),
  commit: z.string(),
};

export const usage = z.object({
  steps: z.number(),
  milliseconds: z.number().describe("time in which the run was played"),
  tokens: z.number(),
  cost: z.number().describe("money, in the currency of the configured prices"),
});
export type Usage = z.output<typeof usage>;

export const stepError = z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()) });

const endState = z.enum(["completed", "failed", "cancelled"]);
export type EndState = z.output<typeof endState>;
export const runState = z.enum(["running", "paused", ...endState.options]);
export type RunState = z.output<typeof runState>;

export const details = {
  owner: z.string().describe("who plays it"),
  name: z.string().optional(),
  depth: z.number(),
  interpreter,
  lineage: lineage.optional(),
};

/** What a run is told to do by command. */
export const direction = z.enum(["cancel", "pause", "resume"]);
export type Direction = z.output<typeof direction>;

/** What the list of runs tells of each. */
export const runRecord = z.object({
  ...identity,
  ...details,
  state: runState,
  started_at: z.string(),
  ended_at: z.string().optional(),
});
export type RunRecord = z.output<typeof runRecord>;

const judgement = z.object({ line: z.number(), text: z.string() });
export type PassedJudgement = z.output<typeof judgement>;

/** What a model said that it did, and neither the log nor the journal of the run shows. */
export const unverifiedClaim = z.object({ claim: z.string(), target: z.string(), step: z.string() });
export type UnverifiedClaim = z.output<typeof unverifiedClaim>;

/** A step that is under way. */
export const doing = z.object({
  step: z.string(),
  line: z.number(),
  what: z.string().describe("the effect, and what a wait waits for"),
  since: z.string(),
});
export type DoingNow = z.output<typeof doing>;

export const runStatus = runRecord.extend({
  doing: z.array(doing).optional().describe("what it does now"),
  pausing: z.boolean().optional().describe("it pauses as soon as the steps under way have ended"),
  directed: direction.optional().describe("it does so as soon as the daemon that plays it, or takes it over, knows"),
  result: z.unknown().optional(),
  error: stepError.optional(),
  judgements: z.array(judgement).optional(),
  unverified: z.array(unverifiedClaim).optional(),
  steps: z.number(),
  usage,
});
export type RunStatus = z.output<typeof runStatus>;
