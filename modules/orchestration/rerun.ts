/** The steps that a new run takes over from another. */
import type { Intent, Recorded, StepResult } from "./interpreter/journal.ts";
import type { RunEntry } from "./record.ts";

/** Results in one entry of the new journal. */
const together = 100;

/**
 * What the journal tells of the steps before one, in the order of the pattern: of branches side by side, those that stand
 * before the step's. A step without a result is not taken over, so that it is done again.
 */
export function stepsBefore(entries: readonly RunEntry[], step: string): Recorded[] {
  const limit = numbersOf(step);
  const isBefore = (one: { readonly step: string }) => compare(numbersOf(one.step), limit) < 0;
  const results: StepResult[] = [];
  const intents = new Map<string, Intent>();
  for (const entry of entries) {
    if (!("results" in entry || "intents" in entry)) continue;
    results.push(...(entry.results ?? []).filter(isBefore));
    for (const intent of entry.intents ?? []) intents.set(intent.step, intent);
  }
  const taken: Recorded[] = [];
  for (let start = 0; start < results.length; start += together) {
    const page = results.slice(start, start + together);
    taken.push({ results: page, intents: page.flatMap((result) => intents.get(result.step) ?? []) });
  }
  return taken;
}

/** Did the run come to this step? The first is always there. */
export const hasStep = (entries: readonly RunEntry[], step: string): boolean =>
  step === "1" ||
  entries.some((entry) => [...recordsOf(entry, "results"), ...recordsOf(entry, "intents")].some((record) => record.step === step));

const recordsOf = (entry: RunEntry, kind: "results" | "intents"): readonly { readonly step: string }[] =>
  (kind in entry && (entry as Partial<Recorded>)[kind]) || [];

/** `2.1.4!1`: the fourth step of the first branch of the second; what follows a `!` belongs to the step. */
const numbersOf = (step: string): number[] => (step.split("!")[0] as string).split(".").map(Number);

function compare(one: readonly number[], other: readonly number[]): number {
  for (let index = 0; ; index++) {
    const [left, right] = [one[index], other[index]];
    if (left === undefined || right === undefined) return Number(left !== undefined) - Number(right !== undefined);
    if (left !== right) return left - right;
  }
}
