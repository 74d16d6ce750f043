/** Why a linear policy favours a candidate, in words. */
import { originOf } from "../features/encode.ts";
import { hashParts, shareOf } from "../features/hash.ts";
import { vectorsFor } from "../features/texts.ts";
import { meaning, type Visit, walk } from "../features/walk.ts";
import type { Situation } from "../policies/policy.ts";
import type { Expectation } from "./block.ts";
import type { LinearModel } from "./model.ts";

const mostNamed = 3;
const leastWeight = 0.0005;

interface Contribution {
  readonly name: string;
  /** What it adds to the expected reward. */
  readonly weight: number;
}

/** Names the features that moved the expectation of this candidate most. */
export function tellReason(model: LinearModel, situation: Situation, predictions: readonly Expectation[], index: number): string {
  const { mean, variance } = predictions[index] as Expectation;
  const rank = predictions.filter((other) => other.mean > mean).length;
  const place = rank === 0 ? "best" : `explored (${rank} of ${predictions.length} are expected to be better)`;
  const weighed = contributions(model, situation, index)
    .filter(({ weight }) => Math.abs(weight) >= leastWeight)
    .sort((left, right) => Math.abs(right.weight) - Math.abs(left.weight))
    .slice(0, mostNamed)
    .map(({ name, weight }) => `${name} ${weight < 0 ? "−" : "+"}${Math.abs(weight).toFixed(3)}`);
  const estimate = `expected reward ${mean.toFixed(3)} ± ${Math.sqrt(variance).toFixed(3)}`;
  return `${place}: ${estimate}${weighed.length === 0 ? ", nothing known yet" : `; weighed most: ${weighed.join(", ")}`}`;
}

/** With what outcomes are in general, they add up to the expectation. */
function contributions({ shared, own, layout }: LinearModel, situation: Situation, index: number): Contribution[] {
  const row = situation.rows[index] as Float32Array;
  const id = situation.ids[index] as string;
  const { mean } = shared;
  const ownMean = own?.get(id)?.mean;
  const within = (from: number, to: number) => {
    let sum = 0;
    for (let position = from; position < to; position++) {
      sum += (row[position] as number) * ((mean[position] as number) + (ownMean?.[position] ?? 0));
    }
    return sum;
  };
  const found: Contribution[] = [
    { name: "the candidate itself", weight: ownMean?.[0] ?? 0 },
    { name: "the interplay of the context", weight: within(layout.waves, layout.candidate) },
    { name: "the fit of context and candidate", weight: within(layout.products, layout.length) },
  ];
  const origin = originOf(situation);
  if (origin === undefined) return found;
  const { spec, context, candidates, embeddings } = origin;
  const vectorOf = vectorsFor(spec, embeddings);
  const meanings = new Map<string, number>();
  const add = (key: string, detail: string, weight: number) => {
    // Nobody knows what one number of a meaning stands for.
    if (detail.startsWith(meaning)) meanings.set(key, (meanings.get(key) ?? 0) + weight);
    else found.push({ name: key + detail, weight });
  };
  const addOfContext: Visit = (key, detail, value) => {
    const code = hashParts(key, detail);
    const common = shareOf(mean, layout.context, spec.context, code, value);
    add(key, detail, common + (ownMean ? shareOf(ownMean, layout.context, spec.context, code, value) : 0));
  };
  const addOfCandidate: Visit = (key, detail, value) => {
    add(`its ${key}`, detail, shareOf(mean, layout.candidate, spec.candidate, hashParts(key, detail), value));
  };
  walk(context, spec.keys, addOfContext, vectorOf);
  walk(candidates[index]?.features ?? {}, spec.keys, addOfCandidate, vectorOf);
  return [...found, ...[...meanings].map(([key, weight]) => ({ name: `the meaning of ${key}`, weight }))];
}
