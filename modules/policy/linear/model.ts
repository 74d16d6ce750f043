/**
 * The reward as a sum of two linear parts with Gaussian weights: one that all candidates share, over the whole row, and one
 * of each candidate by name, over the context alone. A candidate never seen before is known by the shared part at once, and
 * is as uncertain as newcomers were found to differ from what that says.
 *
 * Variances of weights are in units of the noise, which is learned too (normal-inverse-gamma, the conjugate prior of both): rewards that
 * vary little are learned from as fast as any, and what was learned while the noise was overestimated need not be learned again.
 */
import { finalise } from "../features/hash.ts";
import { type SparseRows, squaredNorm } from "../features/sparse-rows.ts";
import { type FeatureSpec, type RowLayout, rowLayout } from "../features/spec.ts";
import type { Situation } from "../policies/policy.ts";
import { type Block, createBlock, type Expectation, expect, refresh, sumOf, update } from "./block.ts";
import { type ChangeState, createChangeState, hasChanged } from "./change.ts";

/** Before anything is known: the variance of shared weights in units of the noise, that of a newcomer's weights, and the noise. */
const prior = { shared: 0.5, own: 0.03, noise: 0.1 };
/** Newcomers whose evidence the prior of the spread is worth. */
const newcomersOfPrior = 30;
/** Outcomes that the prior of the noise is worth. */
const outcomesOfPrior = 5;
/** Outcomes over which the noise is averaged: few, since the first surprises are those of a model that knows nothing. */
const noiseMemory = 100;
const mostNamed = 256;
const leastVariance = 1e-4;
/** Of a newcomer's weights: nobody is known for certain before the first outcome. */
const leastSpread = 1e-3;
const mostSquaredSurprise = 25;

export interface LinearModel {
  readonly layout: RowLayout;
  readonly shared: Block;
  /** By name, least recently observed first; absent if names do not count. */
  readonly own: Map<string, Block> | undefined;
  readonly change: ChangeState;
  /** Outcomes that were observed. */
  observed: number;
  /** Sums all of them up, in their order. */
  digest: number;
  /** Variance of a reward around its expectation. */
  noiseVariance: number;
  /** Variance of a newcomer's own weights, and the newcomers that it was estimated from. */
  spread: number;
  newcomers: number;
}

export function createModel(spec: FeatureSpec): LinearModel {
  const layout = rowLayout(spec);
  return {
    layout,
    shared: createBlock(layout.length, prior.shared, 0),
    own: spec.identity ? new Map() : undefined,
    change: createChangeState(),
    observed: 0,
    digest: 0,
    noiseVariance: prior.noise,
    spread: prior.own,
    newcomers: 0,
  };
}

/** Changes with everything that is observed. */
export const versionOf = ({ observed, digest }: LinearModel): string => `${observed}-${digest.toString(16).padStart(8, "0")}`;

/** What is expected of each candidate; the variance is of what is not the same for all of them. */
export function predict(model: LinearModel, { rows, ids }: Pick<Situation, "rows" | "ids">): Expectation[] {
  const { shared, own, noiseVariance, observed } = model;
  const { common, described } = rows;
  const alike = expect(shared, common, 0, observed).mean;
  const newcomer = expectNewcomer(model, common, 0);
  return ids.map((id, index) => {
    const { mean, variance } = expect(shared, described, index, observed);
    if (own === undefined) return { mean: alike + mean, variance: noiseVariance * variance };
    const block = own.get(id);
    const named = block === undefined ? newcomer : expect(block, common, 0, observed);
    return { mean: alike + mean + named.mean, variance: noiseVariance * (variance + named.variance) };
  });
}

/** By weights of its own that nobody knows yet. */
export const expectNewcomer = ({ spread, noiseVariance }: LinearModel, common: SparseRows, row: number): Expectation => ({
  mean: 0,
  variance: (spread / noiseVariance) * squaredNorm(common, row),
});

/** Learns the reward of the candidate at this position. */
export function learn(model: LinearModel, { rows, ids }: Pick<Situation, "rows" | "ids">, chosen: number, reward: number): void {
  const { shared, own, observed } = model;
  const { common, described } = rows;
  const id = ids[chosen] as string;
  refresh(shared, observed);
  const expected = sumOf(expect(shared, common, 0, observed), expect(shared, described, chosen, observed));
  let surprise = reward - expected.mean;
  // In units of the noise.
  let total = 1 + expected.variance;
  if (own !== undefined) {
    if (!own.has(id)) meet(model, (surprise ** 2 - model.noiseVariance * total) / squaredNorm(common, 0));
    // No wider than the shared weights: these are to learn what all have in common, also where the noise is little.
    const width = Math.min(prior.shared, model.spread / model.noiseVariance);
    const block = own.get(id) ?? createBlock(model.layout.candidate, width, observed);
    refresh(block, observed);
    const named = expect(block, common, 0, observed);
    surprise -= named.mean;
    total += named.variance;
    update(block, common, 0, surprise, total);
    own.delete(id);
    own.set(id, block);
    if (own.size > mostNamed) own.delete(own.keys().next().value as string);
  }
  update(shared, common, 0, surprise, total);
  update(shared, described, chosen, surprise, total);
  model.observed++;
  model.digest = finalise(model.digest ^ Math.round(surprise * 2 ** 30) ^ Math.round(total * 2 ** 28));
  const standardised = surprise / Math.sqrt(total * model.noiseVariance);
  const weight = 1 / Math.min(model.observed + outcomesOfPrior, noiseMemory);
  const excess = Math.min(standardised ** 2, mostSquaredSurprise) - 1;
  model.noiseVariance = Math.max(leastVariance, model.noiseVariance * (1 + weight * excess));
  if (hasChanged(model.change, id, standardised)) {
    // What was known is from now on a guess like any other.
    for (const { variance, prior } of [shared, ...(own?.values() ?? [])]) variance.fill(prior);
  }
}

/** @param sample of the variance of newcomers' weights: what the first outcome of one adds to it; may be negative */
function meet(model: LinearModel, sample: number): void {
  model.newcomers++;
  model.spread = Math.max(leastSpread, model.spread + (sample - model.spread) / (newcomersOfPrior + model.newcomers));
}
