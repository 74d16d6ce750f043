/** From JSON to numbers. */
import type { Candidate, LinearRows, Situation } from "../policies/policy.ts";
import { addFeature, hash, hashParts } from "./hash.ts";
import { addFactor, addProducts, noFactors } from "./products.ts";
import { SparseRowsBuilder, toDense } from "./sparse-rows.ts";
import { type FeatureSpec, rowLayout } from "./spec.ts";
import { type Embeddings, vectorsFor } from "./texts.ts";
import { type Features, type VectorOf, walk } from "./walk.ts";
import { addToPhases, addWaves } from "./waves.ts";

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
 * The situation of one choice. Networks need no rows, and linear models no vectors: either is made when it is asked for.
 * @param embeddings what its texts mean, as it was found when the choice was made
 */
export function encode(
  spec: FeatureSpec,
  context: Features,
  candidates: readonly Candidate[],
  embeddings?: Embeddings | undefined,
): Situation {
  const origin = { spec, context, candidates, embeddings };
  const vectorOf = vectorsFor(spec, embeddings);
  let contextVector: Float32Array | undefined;
  let vectors: readonly Float32Array[] | undefined;
  let rows: LinearRows | undefined;
  const situation: Situation = {
    get context() {
      contextVector ??= vectorOfContext(origin, vectorOf);
      return contextVector;
    },
    get candidates() {
      vectors ??= vectorsOfCandidates(origin, vectorOf);
      return vectors;
    },
    get rows() {
      rows ??= linearRows(origin, vectorOf);
      return rows;
    },
    ids: candidates.map(({ id }) => id),
  };
  origins.set(situation, origin);
  return situation;
}

function vectorOfContext({ spec, context }: Origin, vectorOf: VectorOf | undefined): Float32Array {
  const row = new SparseRowsBuilder(spec.context);
  walk(context, spec.keys, (key, detail, value) => addFeature(row, hashParts(key, detail), value, 0, spec.context), vectorOf);
  row.endRow();
  return toDense(row.build(), 0, spec.context);
}

function vectorsOfCandidates({ spec, candidates }: Origin, vectorOf: VectorOf | undefined): Float32Array[] {
  const rows = new SparseRowsBuilder(spec.candidate);
  const add = (code: number, value: number) => addFeature(rows, code, value, 0, spec.candidate);
  for (const { id, features = {} } of candidates) {
    walk(features, spec.keys, (key, detail, value) => add(hashParts(key, detail), value), vectorOf);
    // Not in the row: linear models learn by name beside it, and names that never come again do not blur it.
    if (spec.identity) add(hash(`id=${id}`), 1);
    rows.endRow();
  }
  const built = rows.build();
  return candidates.map((_, index) => toDense(built, index, spec.candidate));
}

function linearRows({ spec, context, candidates }: Origin, vectorOf: VectorOf | undefined): LinearRows {
  const layout = rowLayout(spec);
  const common = new SparseRowsBuilder(layout.candidate);
  const phases = new Float64Array(spec.waves);
  const factors = noFactors();
  let features = 0;
  common.add(0, 1);
  walk(
    context,
    spec.keys,
    (key, detail, value, isWord) => {
      const code = hashParts(key, detail);
      addFeature(common, code, value, layout.context, spec.context);
      if (isWord) return;
      features++;
      addToPhases(phases, code, value);
      addFactor(factors, code, value);
    },
    vectorOf,
  );
  // Of a single feature the waves would only tell what it tells itself.
  if (features > 1) addWaves(phases, common, layout.waves);
  common.endRow();

  const described = new SparseRowsBuilder(layout.length);
  for (const { features = {} } of candidates) {
    walk(
      features,
      spec.keys,
      (key, detail, value, isWord) => {
        const code = hashParts(key, detail);
        addFeature(described, code, value, layout.candidate, spec.candidate);
        if (!isWord) addProducts(described, factors, code, value, layout);
      },
      vectorOf,
    );
    described.endRow();
  }
  return { common: common.build(), described: described.build() };
}
