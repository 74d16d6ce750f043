/** Why this candidate and not another, in words: what lets the two differ. What is the same for both has decided nothing. */
import type { Features, VectorOf } from "../features/walk.ts";
import { isText } from "./known-values.ts";

/** What one thing adds to the lead of the chosen candidate over its best rival. */
export interface Contribution {
  readonly name: string;
  readonly weight: number;
}

/** What was learned about a candidate by its id. */
export const ownRecord = "its own record";
const mostNamed = 3;
/** Below it two candidates are alike. */
const leastWeight = 0.0005;

/** The best of the others by the policy's own scores; undefined where there was no choice. */
export function rivalOf(scores: readonly number[], chosen: number): number | undefined {
  let best: number | undefined;
  for (let index = 0; index < scores.length; index++) {
    if (index !== chosen && (best === undefined || (scores[index] as number) > (scores[best] as number))) best = index;
  }
  return best;
}

export const noChoice = "the only candidate: there was no choice";

/** Whether the choice is what the policy thinks best, or was made although another seemed better. */
export const placeOf = (lead: number): "best" | "explored" | "drawn from equals" =>
  lead >= leastWeight ? "best" : lead <= -leastWeight ? "explored" : "drawn from equals";

/** The greatest contributions, with their signs. */
export function tellContributions(contributions: readonly Contribution[]): string {
  const named = contributions
    .filter(({ weight }) => Math.abs(weight) >= leastWeight)
    .sort((left, right) => Math.abs(right.weight) - Math.abs(left.weight))
    .slice(0, mostNamed)
    .map(({ name, weight }) => `${name} ${weight < 0 ? "−" : "+"}${Math.abs(weight).toFixed(3)}`);
  return named.length === 0 ? "no feature made a clear difference" : `mostly from ${named.join(", ")}`;
}

/** A value that is one word stands beside its name. */
export function nameOf(key: string, value: unknown, vectorOf: VectorOf | undefined): string {
  if (isText(value)) return `the ${vectorOf?.(value) === undefined ? "words" : "meaning"} of ${key}`;
  return typeof value === "boolean" || typeof value === "string" ? `${key}=${value}` : key;
}

/** Keys of which the features of two candidates have different values, as far as they count. */
export function differingKeys(left: Features, right: Features, counted: readonly string[] | undefined): string[] {
  return Object.keys({ ...left, ...right }).filter(
    (key) => (counted === undefined || counted.includes(key)) && !isSame(left[key], right[key]),
  );
}

const isSame = (left: unknown, right: unknown): boolean =>
  left === right || (typeof left === "object" && typeof right === "object" && JSON.stringify(left) === JSON.stringify(right));
