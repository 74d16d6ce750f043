/** The steps of a run as its journal tells them: intent and result of each in one. */
import { z } from "zod";
import type { Intent, StepResult } from "./interpreter/journal.ts";
import type { RunEntry } from "./record.ts";
import { stepError } from "./schema.ts";

export const toldStep = z.looseObject({
  step: z.string(),
  line: z.number(),
  state: z.enum(["done", "failed", "open"]),
  at: z.string().optional().describe("RFC 3339: when it was written"),
  effect: z.unknown().optional().describe("what was to be done; reads and computed values have none"),
  value: z.unknown().optional(),
  error: stepError.optional(),
  milliseconds: z.number().optional(),
  tokens: z.number().optional(),
  cost: z.number().optional(),
});
type ToldStep = z.output<typeof toldStep>;

/**
 * The steps of some entries, by their indices. Each step is told once: where its result stands, or its intent as long as there is
 * no result. A content that is large is told by its reference, in `objects`.
 */
export function toldSteps(entries: readonly RunEntry[], from: number, to: number): ToldStep[] {
  const intents = new Map<string, Intent>();
  const done = new Set<string>();
  for (const entry of entries) {
    for (const intent of intentsOf(entry)) intents.set(intent.step, intent);
    for (const { step } of resultsOf(entry)) done.add(step);
  }
  return entries.slice(from, to).flatMap((entry) => [
    ...resultsOf(entry).map((result): ToldStep => {
      const state = result.error === undefined ? "done" : "failed";
      return { ...merged(intents.get(result.step), result), state, at: entry.at };
    }),
    ...intentsOf(entry)
      .filter(({ step }) => !done.has(step))
      .map((intent): ToldStep => ({ ...intent, state: "open", at: entry.at })),
  ]);
}

type WithObjects = { readonly objects?: object };

const merged = (intent: (Intent & WithObjects) | undefined, result: StepResult & WithObjects) => {
  const objects = { ...intent?.objects, ...result.objects };
  return { ...intent, ...result, ...(Object.keys(objects).length > 0 && { objects }) };
};

const intentsOf = (entry: RunEntry): readonly Intent[] => ("intents" in entry ? (entry.intents ?? []) : []);
const resultsOf = (entry: RunEntry): readonly StepResult[] => ("results" in entry ? (entry.results ?? []) : []);
