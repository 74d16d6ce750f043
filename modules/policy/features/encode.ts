/** From JSON to numbers. */
import type { Candidate, Situation } from "../policies/policy.ts";
import { addFeature, hash } from "./hash.ts";
import { type FeatureSpec, rowLayout } from "./spec.ts";
import { type Features, walk } from "./walk.ts";
import { addToWaves, raiseWaves } from "./waves.ts";

interface Factor {
  readonly code: number;
  readonly value: number;
}

/** What a situation was made from. */
export interface Origin {
  readonly spec: FeatureSpec;
  readonly context: Features;
  readonly candidates: readonly Candidate[];
}

const origins = new WeakMap<Situation, Origin>();

/** What encode() made this situation from; undefined for one that was made elsewhere, as by structured cloning. */
export const originOf = (situation: Situation): Origin | undefined => origins.get(situation);

/** The situation of one choice. */
export function encode(spec: FeatureSpec, context: Features, candidates: readonly Candidate[]): Situation {
  const layout = rowLayout(spec);
  const contextVector = new Float32Array(spec.context);
  const phases = new Float64Array(spec.waves);
  const factors: Factor[] = [];
  walk(context, spec.keys, (name, value, isWord) => {
    const code = hash(name);
    addFeature(contextVector, code, value);
    if (isWord) return;
    factors.push({ code, value });
    addToWaves(phases, code, value);
  });
  const common = new Float32Array(layout.length);
  common[0] = 1;
  common.set(contextVector, layout.context);
  if (factors.length > 1) raiseWaves(phases, common, layout.waves);

  const vectors: Float32Array[] = [];
  const rows: Float32Array[] = [];
  for (const { id, features } of candidates) {
    const vector = new Float32Array(spec.candidate);
    const row = common.slice();
    if (features !== undefined) {
      const products = row.subarray(layout.products);
      walk(features, spec.keys, (name, value, isWord) => {
        const code = hash(name);
        addFeature(vector, code, value);
        if (!isWord) multiply(factors, code, value, products);
      });
      row.set(vector, layout.candidate);
    }
    // Not in the row: linear models learn by name beside it, and names that never come again do not blur it.
    if (spec.identity) addFeature(vector, hash(`id=${id}`), 1);
    vectors.push(vector);
    rows.push(row);
  }
  const situation = { context: contextVector, candidates: vectors, rows, ids: candidates.map(({ id }) => id) };
  origins.set(situation, { spec, context, candidates });
  return situation;
}

/** Count sketch of the outer product (Pham and Pagh 2013): the hash of a pair is the sum of the hashes. */
function multiply(factors: readonly Factor[], code: number, value: number, products: Float32Array): void {
  const mask = products.length - 1;
  for (const factor of factors) {
    const sum = (factor.code + code) >>> 0;
    const index = (sum >>> 8) & mask;
    products[index] = (products[index] as number) + (sum & 128 ? value : -value) * factor.value;
  }
}
