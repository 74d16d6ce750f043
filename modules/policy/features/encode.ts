/** From JSON to numbers. */
import type { Candidate, Situation } from "../policies/policy.ts";
import { addFeature, hash, hashParts } from "./hash.ts";
import { type FeatureSpec, rowLayout } from "./spec.ts";
import { type Embeddings, vectorsFor } from "./texts.ts";
import { type Features, walk } from "./walk.ts";
import { addToWaves, raiseWaves } from "./waves.ts";

/** Features of a context that are each multiplied with those of the candidates; further ones share their places. */
const mostFactors = 16;

/** What a situation was made from. */
export interface Origin {
  readonly spec: FeatureSpec;
  readonly context: Features;
  readonly candidates: readonly Candidate[];
  readonly embeddings?: Embeddings | undefined;
}

const origins = new WeakMap<Situation, Origin>();

/** What encode() made this situation from; undefined for one that was made elsewhere, as by structured cloning. */
export const originOf = (situation: Situation): Origin | undefined => origins.get(situation);

/**
 * The situation of one choice. Networks need no rows, which are the larger part, and linear models no vectors: either is made when
 * it is asked for.
 * @param embeddings what its texts mean, as it was found when the choice was made
 */
export function encode(
  spec: FeatureSpec,
  context: Features,
  candidates: readonly Candidate[],
  embeddings?: Embeddings | undefined,
): Situation {
  const layout = rowLayout(spec);
  const vectorOf = vectorsFor(spec, embeddings);
  const contextVector = new Float32Array(spec.context);
  const phases = new Float64Array(spec.waves);
  const factors = noFactors();
  let features = 0;
  walk(
    context,
    spec.keys,
    (key, detail, value, isWord) => {
      const code = hashParts(key, detail);
      addFeature(contextVector, code, value);
      if (isWord) return;
      features++;
      addToWaves(phases, code, value);
      addFactor(factors, code, value);
    },
    vectorOf,
  );
  /** What all rows begin with. */
  const shared = (): Float32Array => {
    const common = new Float32Array(layout.candidate);
    common[0] = 1;
    common.set(contextVector, layout.context);
    // Of a single feature the waves would only tell what it tells itself.
    if (features > 1) raiseWaves(phases, common, layout.waves);
    return common;
  };
  // One piece of memory each: what takes longest here is to allocate.
  const describe = (rows?: readonly Float32Array[]): readonly Float32Array[] => {
    const vectors = pieces(candidates.length, spec.candidate);
    const common = rows && shared();
    candidates.forEach(({ id, features: described }, position) => {
      const vector = vectors[position] as Float32Array;
      const row = rows?.[position];
      if (common) row?.set(common);
      if (described !== undefined) {
        walk(
          described,
          spec.keys,
          (key, detail, value, isWord) => {
            const code = hashParts(key, detail);
            addFeature(vector, code, value);
            if (row && !isWord) multiply(factors, code, value, row, layout.products);
          },
          vectorOf,
        );
        row?.set(vector, layout.candidate);
      }
      // Not in the row: linear models learn by name beside it, and names that never come again do not blur it.
      if (spec.identity) addFeature(vector, hash(`id=${id}`), 1);
    });
    return vectors;
  };
  let vectors: readonly Float32Array[] | undefined;
  let rows: readonly Float32Array[] | undefined;
  const situation: Situation = {
    context: contextVector,
    get candidates() {
      vectors ??= describe();
      return vectors;
    },
    get rows() {
      if (rows === undefined) {
        rows = pieces(candidates.length, layout.length);
        vectors = describe(rows);
      }
      return rows;
    },
    ids: candidates.map(({ id }) => id),
  };
  origins.set(situation, { spec, context, candidates, embeddings });
  return situation;
}

function pieces(count: number, length: number): Float32Array[] {
  const whole = new Float32Array(count * length);
  return Array.from({ length: count }, (_, position) => whole.subarray(position * length, (position + 1) * length));
}

/** Features of a context that those of the candidates are multiplied with. */
export interface Factors {
  readonly codes: Uint32Array;
  readonly values: Float64Array;
  count: number;
}

export const noFactors = (): Factors => ({ codes: new Uint32Array(mostFactors), values: new Float64Array(mostFactors), count: 0 });

export function addFactor(factors: Factors, code: number, value: number): void {
  const { codes, values } = factors;
  if (factors.count < mostFactors) {
    codes[factors.count] = code;
    values[factors.count++] = value;
  } else {
    const place = (code >>> 1) % mostFactors;
    values[place] = (values[place] as number) + (code & 1 ? value : -value);
  }
}

/** Count sketch of the outer product (Pham and Pagh 2013): the hash of a pair is the sum of the hashes. */
export function multiply({ codes, values, count }: Factors, code: number, value: number, row: Float32Array, offset: number): void {
  const mask = row.length - offset - 1;
  for (let each = 0; each < count; each++) {
    const sum = ((codes[each] as number) + code) | 0;
    const index = offset + ((sum >>> 8) & mask);
    const product = value * (values[each] as number);
    row[index] = (row[index] as number) + (sum & 128 ? product : -product);
  }
}
