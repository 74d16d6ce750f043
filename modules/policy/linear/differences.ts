/** The row of a choice less what it would be in other circumstances, feature by feature: what a linear model has to say about it is its share. */
import { addFactor, type Factors, multiply, noFactors, type Origin } from "../features/encode.ts";
import { addFeature, hashParts } from "../features/hash.ts";
import type { RowLayout } from "../features/spec.ts";
import { vectorsFor } from "../features/texts.ts";
import { type VectorOf, walk } from "../features/walk.ts";
import { addToWaves, raiseWaves } from "../features/waves.ts";
import { differingKeys, nameOf } from "../policies/contrast.ts";
import type { KnownValues } from "../policies/known-values.ts";

export interface Difference {
  readonly name: string;
  readonly row: Float32Array;
}

/** Two candidates of a choice. */
export interface Pair {
  readonly layout: RowLayout;
  readonly origin: Origin;
  readonly chosen: number;
  readonly rival: number;
}

const mostFeatures = 16;

/** Each feature of the chosen candidate less that of its rival, with what it has to do with the context. */
export function candidateDifferences({ layout, origin, chosen, rival }: Pair): Difference[] {
  const { spec, context, candidates, embeddings } = origin;
  const vectorOf = vectorsFor(spec, embeddings);
  const factors = noFactors();
  walk(
    context,
    spec.keys,
    (key, detail, value, isWord) => {
      if (!isWord) addFactor(factors, hashParts(key, detail), value);
    },
    vectorOf,
  );
  const [ours = {}, theirs = {}] = [candidates[chosen]?.features, candidates[rival]?.features];
  return differingKeys(ours, theirs, spec.keys)
    .slice(0, mostFeatures)
    .map((key) => {
      const row = new Float32Array(layout.length);
      const described = row.subarray(layout.candidate, layout.products);
      const add = (value: unknown, sign: number) =>
        visit(key, value, vectorOf, (code, number, isWord) => {
          addFeature(described, code, sign * number);
          if (!isWord) multiply(factors, code, sign * number, row, layout.products);
        });
      add(ours[key], 1);
      add(theirs[key], -1);
      return { name: `its ${nameOf(key, ours[key], vectorOf)}`, row };
    });
}

/** Each feature of the context less the mean of it and of what it was lately, with what it has to do with the two candidates. */
export function contextDifferences({ layout, origin, chosen, rival }: Pair, known: KnownValues): Difference[] {
  const { spec, context, candidates, embeddings } = origin;
  const vectorOf = vectorsFor(spec, embeddings);
  const phases = new Float64Array(spec.waves);
  let features = 0;
  walk(
    context,
    spec.keys,
    (key, detail, value, isWord) => {
      if (isWord) return;
      addToWaves(phases, hashParts(key, detail), value);
      features++;
    },
    vectorOf,
  );
  const present = raise(phases, features);
  const multiplyWith = (factors: Factors, index: number, sign: number, row: Float32Array) =>
    walk(
      candidates[index]?.features ?? {},
      spec.keys,
      (key, detail, value, isWord) => {
        if (!isWord) multiply(factors, hashParts(key, detail), sign * value, row, layout.products);
      },
      vectorOf,
    );

  const differences: Difference[] = [];
  for (const key in context) {
    const others = spec.keys === undefined || spec.keys.includes(key) ? known.others(key, context[key]) : [];
    if (others.length === 0) continue;
    const share = 1 / (others.length + 1);
    const row = new Float32Array(layout.length);
    const described = row.subarray(layout.context, layout.waves);
    const waves = row.subarray(layout.waves, layout.candidate);
    const factors = noFactors();
    /** @returns its part of the phases */
    const add = (value: unknown, weight: number): Float64Array => {
      const part = new Float64Array(spec.waves);
      visit(key, value, vectorOf, (code, number, isWord) => {
        addFeature(described, code, weight * number);
        if (isWord) return;
        addToWaves(part, code, number);
        addFactor(factors, code, weight * number);
      });
      return part;
    };
    const own = add(context[key], 1 - share);
    addTo(waves, present, 1 - share);
    for (const value of others) {
      const instead = add(value, -share);
      for (let index = 0; index < instead.length; index++) {
        instead[index] = (instead[index] as number) + (phases[index] as number) - (own[index] as number);
      }
      addTo(waves, raise(instead, features), -share);
    }
    multiplyWith(factors, chosen, 1, row);
    multiplyWith(factors, rival, -1, row);
    differences.push({ name: nameOf(key, context[key], vectorOf), row });
    if (differences.length === mostFeatures) break;
  }
  return differences;
}

type VisitCode = (code: number, value: number, isWord: boolean) => void;

function visit(key: string, value: unknown, vectorOf: VectorOf | undefined, each: VisitCode): void {
  walk({ [key]: value }, undefined, (name, detail, number, isWord) => each(hashParts(name, detail), number, isWord), vectorOf);
}

/** As encode() does: a single feature makes no waves. */
function raise(phases: Float64Array, features: number): Float32Array {
  const waves = new Float32Array(phases.length);
  if (features > 1) raiseWaves(phases, waves, 0);
  return waves;
}

function addTo(sum: Float32Array, values: Float32Array, weight: number): void {
  for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] as number) + weight * (values[index] as number);
}
