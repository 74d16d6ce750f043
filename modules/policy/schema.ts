/** What selections and outcomes are made of, in commands and events. */
import { z } from "zod";
import type { Candidate } from "./policies/policy.ts";
import { measure, rewardDefinition } from "./reward.ts";

export const slotName = z.string().min(1).max(128).describe("what is chosen: a name of the user's");
/** Of the texts of a context: a prompt fits in, and every event stays far below what the log takes. */
const longestText = 8_192;
const longestTexts = 32_768;

export const contextFeatures = z
  .record(z.string().max(64), z.union([z.string().max(longestText), z.number(), z.boolean(), z.null()]))
  .refine((context) => Object.keys(context).length <= 32, "at most 32 keys")
  .refine(
    (context) =>
      Object.values(context).reduce<number>((sum, value) => sum + (typeof value === "string" ? value.length : 0), 0) <= longestTexts,
    `at most ${longestTexts} characters in all`,
  );

const longestId = 128;
const deepestFeature = 32;

/** Looked through by hand: of many candidates zod's own objects take longer than all the rest of a choice. */
export const candidate = z
  .custom<Candidate>((value) => problemOf(value) === undefined, { error: ({ input }) => problemOf(input) })
  .meta({
    type: "object",
    properties: { id: { type: "string", minLength: 1, maxLength: longestId }, features: { type: "object" } },
    required: ["id"],
    additionalProperties: false,
  });

function problemOf(value: unknown): string | undefined {
  if (!isMapping(value)) return "expected an object with id and, if there are any, features";
  for (const key in value) if (key !== "id" && key !== "features") return `${key} is unknown: expected id or features`;
  const { id, features } = value;
  if (typeof id !== "string" || id.length === 0 || id.length > longestId) return `id: expected a text of 1 to ${longestId} characters`;
  if (features === undefined || (isMapping(features) && isWithin(features, deepestFeature))) return undefined;
  return `features: expected a mapping of names to values, at most ${deepestFeature} levels deep`;
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function isWithin(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (levels === 0) return false;
  if (Array.isArray(value)) {
    for (const each of value) if (!isWithin(each, levels - 1)) return false;
  } else {
    for (const key in value) if (!isWithin(value[key as keyof typeof value], levels - 1)) return false;
  }
  return true;
}

export const episode = z.strictObject({
  id: z.string().min(1).max(128),
  step: z.int().min(0),
  last: z.boolean().default(false),
});

/** What tells the outcome of a selection, if nobody gives it: how a run ends, a tool call, an approval. */
export const outcomeSource = z.strictObject({
  event: z.enum(["run", "tool", "approval"]),
  id: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .describe("the run's, the approval's, of a client's tool call its ce-id; default: the run that asks, its next call of the chosen tool"),
});
export type OutcomeSource = z.output<typeof outcomeSource>;

/** Vectors by digest of their text; a custom type for the same reason as that of candidates. */
const vectors = z
  .custom<Readonly<Record<string, readonly number[]>>>((value) => typeof value === "object" && value !== null)
  .meta({ type: "object" });
const embeddings = z.object({
  model: z.string(),
  dimensions: z.int(),
  vectors: vectors.describe("by the first 64 bits of the text's SHA-256, in hexadecimal"),
  missing: z.int().optional().describe("texts without a vector: the choice was made by their words alone"),
  reason: z.string().optional().describe("why"),
});

/** By id; what is made here need not be looked through number by number at each choice. */
const scores = z
  .custom<Readonly<Record<string, number>>>((value) => typeof value === "object" && value !== null && !Array.isArray(value))
  .meta({ type: "object" });

/** The reply of `policy:select`. */
export const choice = z.object({
  decision_id: z.string(),
  choice: z.string(),
  probability: z.number().describe("of this choice, when it was made"),
  scores: scores.describe("what the policy thought of each candidate; higher is better"),
  reason: z.string().describe("why this one"),
  policy: z.string(),
  version: z.string(),
});
export type Choice = z.output<typeof choice>;

/** Looked through when they were asked. */
const candidates = z.custom<Candidate[]>(Array.isArray).meta({ type: "array" });

/** The data of `policy:selected`. */
export const selected = choice.extend({
  request: z.string().describe("id of the request that it answered"),
  slot: z.string(),
  context: contextFeatures,
  candidates: candidates.describe("as they were asked"),
  feature_spec: z.string().describe("version of the way in which context and candidates became numbers"),
  embeddings: embeddings.optional().describe("what its texts mean, where the spec says so"),
  deployment: z.string().describe("the policy, or its checkpoint, as it is compared with others"),
  assigned: z.number().describe("share of the slot's selections that this deployment answers"),
  comparison: z
    .object({ number: z.int(), role: z.enum(["contender", "serving"]) })
    .optional()
    .describe("of two policies of the slot that this selection is part of"),
  by: z.string().describe("who asked: kind and id; `claimed-agent` for a message from outside in an agent's name"),
  outcome_from: outcomeSource.optional(),
  reward: rewardDefinition.optional(),
  episode: episode.optional(),
});
export type Selected = z.output<typeof selected>;

/** What is to say of a grade, in the answer and in the log. */
export const gradeRemarks = {
  clipped: z.literal(true).optional().describe("it was beyond [-1, 1]"),
  missing: z.array(measure).optional().describe("what the reward of the slot counts and nobody measured: graded without"),
};

/** The data of `policy:outcome_recorded`. */
export const recorded = z.object({
  decision_id: z.string(),
  slot: z.string(),
  choice: z.string(),
  reward: z.number(),
  success: z.boolean().optional(),
  cost: z.number().optional(),
  latency_ms: z.number().optional(),
  tools: z.record(z.string(), z.number()).optional().describe("how often each tool was called"),
  last: z.boolean().optional().describe("the episode of the selection is over"),
  ...gradeRemarks,
  source: z.string().default("policy:outcome").describe("the command, or the type of the event that it was derived from"),
});
export type Recorded = z.output<typeof recorded>;

/** The data of `policy:linked`. */
export const linked = z.object({ decision_id: z.string(), outcome_from: outcomeSource.required() });
export type Linked = z.output<typeof linked>;
