/** The row of a choice less what it would be in other circumstances, feature by feature: what a linear model has to say about it is its share. */
import type { Origin } from "../features/encode.ts";
import { addFeature, hashParts } from "../features/hash.ts";
import { addFactor, addProducts, type Factors, noFactors } from "../features/products.ts";
import { type SparseRows, SparseRowsBuilder } from "../features/sparse-rows.ts";
import type { RowLayout } from "../features/spec.ts";
import { vectorsFor } from "../features/texts.ts";
import { type Features, type VectorOf, type Visit, walk, walkFeature } from "../features/walk.ts";
import { addToPhases, addWaves } from "../features/waves.ts";
import { differingKeys, nameOf } from "../policies/contrast.ts";
import type { KnownValues } from "../policies/known-values.ts";

/** Two candidates of a choice. */
export interface Pair {
  readonly layout: RowLayout;
  readonly origin: Origin;
  readonly chosen: number;
  readonly rival: number;
}

/** Row i is that of name i. */
export interface Differences {
  readonly names: readonly string[];
  /** Of what describes the candidates. */
  readonly described: SparseRows;
}

export interface ContextDifferences extends Differences {
  /** Of what is common to all candidates. */
  readonly common: SparseRows;
}

const mostFeatures = 16;

/**
 * Of the candidate: each feature of the chosen one less that of its rival, with what it has to do with the context. Of the context: each
 * feature less the mean of it and of what it was lately, with what it has to do with the two candidates.
 */
export function differencesOf(pair: Pair, known: KnownValues): { ofCandidate: Differences; ofContext: ContextDifferences } {
  const { spec, candidates, embeddings } = pair.origin;
  const vectorOf = vectorsFor(spec, embeddings);
  const [ours = {}, theirs = {}] = [candidates[pair.chosen]?.features, candidates[pair.rival]?.features];
  const features = differingKeys(ours, theirs, spec.keys).map((key) => {
    const numbers: HashedNumber[] = [];
    walkFeature(key, ours[key], adding(numbers), vectorOf);
    walkFeature(key, theirs[key], adding(numbers, -1), vectorOf);
    return { name: `its ${nameOf(key, ours[key], vectorOf)}`, numbers };
  });
  const circumstances = numbersOf(pair.origin.context, spec.keys, vectorOf).filter(({ isWord }) => !isWord);
  return {
    ofCandidate: candidateDifferences(pair, features, circumstances),
    ofContext: contextDifferences(pair, features, circumstances, known, vectorOf),
  };
}

/** What one feature falls apart into. */
interface HashedNumber {
  readonly code: number;
  readonly value: number;
  readonly isWord: boolean;
}

interface DifferingFeature {
  readonly name: string;
  readonly numbers: readonly HashedNumber[];
}

function candidateDifferences(
  { layout, origin: { spec } }: Pair,
  features: readonly DifferingFeature[],
  circumstances: readonly HashedNumber[],
): Differences {
  const factors = noFactors();
  for (const { code, value } of circumstances) addFactor(factors, code, value);
  const described = new SparseRowsBuilder(layout.length);
  const told = features.slice(0, mostFeatures);
  for (const { numbers } of told) {
    for (const { code, value } of numbers) addFeature(described, code, value, layout.candidate, spec.candidate);
    addAllProducts(described, factors, numbers, layout);
    described.endRow();
  }
  return { names: told.map(({ name }) => name), described: described.build() };
}

function contextDifferences(
  { layout, origin: { spec, context } }: Pair,
  features: readonly DifferingFeature[],
  circumstances: readonly HashedNumber[],
  known: KnownValues,
  vectorOf: VectorOf | undefined,
): ContextDifferences {
  const present = new Float64Array(spec.waves);
  for (const { code, value } of circumstances) addToPhases(present, code, value);
  const names: string[] = [];
  const common = new SparseRowsBuilder(layout.candidate);
  const described = new SparseRowsBuilder(layout.length);
  for (const key in context) {
    const others = spec.keys === undefined || spec.keys.includes(key) ? known.others(key, context[key]) : [];
    if (others.length === 0) continue;
    const share = 1 / (others.length + 1);
    const factors = noFactors();
    /** @returns its part of the phases */
    const add = (value: unknown, weight: number): Float64Array => {
      const part = new Float64Array(spec.waves);
      const numbers: HashedNumber[] = [];
      walkFeature(key, value, adding(numbers), vectorOf);
      for (const number of numbers) {
        addFeature(common, number.code, weight * number.value, layout.context, spec.context);
        if (number.isWord) continue;
        addToPhases(part, number.code, number.value);
        addFactor(factors, number.code, weight * number.value);
      }
      return part;
    };
    // As encode() does: a single feature makes no waves.
    const addWavesOf = (phases: Float64Array, weight: number) => {
      if (circumstances.length > 1) addWaves(phases, common, layout.waves, weight);
    };
    const own = add(context[key], 1 - share);
    addWavesOf(present, 1 - share);
    for (const value of others) {
      const instead = add(value, -share);
      for (let index = 0; index < instead.length; index++) {
        instead[index] = (instead[index] as number) + (present[index] as number) - (own[index] as number);
      }
      addWavesOf(instead, -share);
    }
    for (const { numbers } of features) addAllProducts(described, factors, numbers, layout);
    common.endRow();
    described.endRow();
    names.push(nameOf(key, context[key], vectorOf));
    if (names.length === mostFeatures) break;
  }
  return { names, common: common.build(), described: described.build() };
}

function addAllProducts(row: SparseRowsBuilder, factors: Factors, numbers: readonly HashedNumber[], layout: RowLayout): void {
  for (const { code, value, isWord } of numbers) if (!isWord) addProducts(row, factors, code, value, layout);
}

const adding =
  (numbers: HashedNumber[], sign = 1): Visit =>
  (key, detail, value, isWord) => {
    numbers.push({ code: hashParts(key, detail), value: sign * value, isWord });
  };

function numbersOf(features: Features, keys: readonly string[] | undefined, vectorOf: VectorOf | undefined): HashedNumber[] {
  const numbers: HashedNumber[] = [];
  walk(features, keys, adding(numbers), vectorOf);
  return numbers;
}
