/**
 * The reward as a sum of two linear parts with Gaussian weights: one that all candidates share, over the whole row, and one
 * of each candidate by name, over the context alone. A candidate never seen before is known by the shared part at once, and
 * is as uncertain as newcomers were found to differ from what that says.
 *
 * Variances of weights are in units of the noise, which is learned too (normal-inverse-gamma, the conjugate prior of both): rewards that
 * vary little are learned from as fast as any, and what was learned while the noise was overestimated need not be learned again.
 */
import { finalise } from "../features/hash.ts";
import { type FeatureSpec, type RowLayout, rowLayout } from "../features/spec.ts";
import type { Situation } from "../policies/policy.ts";
import { activeIn, type Block, createBlock, type Expectation, expectActive, expectBetween, refresh, squaredNorm, update } from "./block.ts";
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
export function predict(model: LinearModel, { rows, ids }: Situation): Expectation[] {
  const { layout, shared, own, spread, noiseVariance, observed } = model;
  const first = rows[0] as Float32Array;
  const context = activeIn(first, layout.candidate);
  const common = expectActive(shared, first, context, observed).mean;
  const newcomer: Expectation = { mean: 0, variance: (spread / noiseVariance) * squaredNorm(first, context) };
  return rows.map((row, index) => {
    const described = expectBetween(shared, row, layout.candidate, layout.length, observed);
    const mean = common + described.mean;
    if (own === undefined) return { mean, variance: noiseVariance * described.variance };
    const block = own.get(ids[index] as string);
    const named = block === undefined ? newcomer : expectActive(block, row, context, observed);
    return { mean: mean + named.mean, variance: noiseVariance * (described.variance + named.variance) };
  });
}

/** Learns the reward of the candidate with this row. */
export function learn(model: LinearModel, row: Float32Array, id: string, reward: number): void {
  const { layout, shared, own, observed } = model;
  const all = activeIn(row, layout.length);
  refresh(shared, observed);
  const expected = expectActive(shared, row, all, observed);
  let surprise = reward - expected.mean;
  // In units of the noise.
  let total = 1 + expected.variance;
  if (own !== undefined) {
    const context = activeIn(row, layout.candidate);
    if (!own.has(id)) meet(model, (surprise ** 2 - model.noiseVariance * total) / squaredNorm(row, context));
    // No wider than the shared weights: these are to learn what all have in common, also where the noise is little.
    const width = Math.min(prior.shared, model.spread / model.noiseVariance);
    const block = own.get(id) ?? createBlock(layout.candidate, width, observed);
    refresh(block, observed);
    const named = expectActive(block, row, context, observed);
    surprise -= named.mean;
    total += named.variance;
    update(block, row, context, surprise, total);
    own.delete(id);
    own.set(id, block);
    if (own.size > mostNamed) own.delete(own.keys().next().value as string);
  }
  update(shared, row, all, surprise, total);
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
