/**
 * What a policy would have earned where others chose, by IPS, SNIPS and DR (Dudík et al. 2011, arXiv 1103.4601), trajectory by
 * trajectory: an episode, or a choice without one. Weights beyond `clip` are clipped, and the report says how many were: where they
 * are, IPS and SNIPS lean towards what was logged, and DR towards its reward model.
 */
import type { FeatureSpec } from "../features/spec.ts";
import type { Experience } from "../policies/policy.ts";
import { trajectoriesOf } from "../trajectories.ts";
import { type Figures, figuresOf } from "./figures.ts";
import { bootstrapInterval, type Interval, meanOf } from "./intervals.ts";
import { crossFitted } from "./reward-model.ts";
import { type Expected, type OddsOf, returnOf, robustReturn, weightedReturn, weightsOf } from "./trajectory-value.ts";

/** A logged choice, and what odds two policies would have given to its candidates. */
export interface Judged extends Experience {
  /** Of the policy that is judged. */
  readonly odds: readonly number[];
  /** Of the policy that serves. */
  readonly serving: readonly number[];
}

export interface Estimate {
  /** Expected sum of the rewards of a trajectory. */
  readonly value: number;
  /**
   * 95 %, by bootstrap-t. Weights are 1 on average, if they are not clipped: of DR, where they come to less here, what the others would
   * have said is unknown, and the interval is wider by as much as the reward model is usually wrong about that share.
   */
  readonly interval: Interval;
}

export interface Evaluation extends Figures {
  readonly outcomes: number;
  /** Episodes, and choices without one, that these are of. */
  readonly trajectories: number;
  /** How many trajectories of the judged policy itself these are worth: (Σw)² / Σw². */
  readonly effective_sample_size: number;
  /** Greatest weight that counts, and the share of trajectories whose weight was beyond. */
  readonly clip: number;
  readonly clipped: number;
  /** Of the judged policy, by each estimator. */
  readonly ips: Estimate;
  readonly snips: Estimate;
  readonly dr: Estimate;
  /** Of the serving policy, by DR on the same outcomes. */
  readonly serving: Estimate;
  /** What the judged policy earns more than the serving one: DR of both, trajectory by trajectory. */
  readonly gain: Estimate;
}

export interface EvaluationOptions {
  readonly spec: FeatureSpec;
  /** Of the resampling. */
  readonly seed: number;
  readonly clip?: number;
}

/** @param judged at least 2 whole trajectories, of which the judged policy learned nothing; what is of no whole one does not count */
export function evaluateOffPolicy(judged: readonly Judged[], { spec, seed, clip = 20 }: EvaluationOptions): Evaluation {
  const { complete } = trajectoriesOf(judged);
  const returns = crossFitted(complete, spec);
  const expected = complete.map((steps, index) => ({ steps, returns: returns[index] as readonly (readonly number[])[] }));
  const estimate = (values: Float64Array, doubt = 0): Estimate => {
    const [low, high] = bootstrapInterval(values, seed);
    return { value: meanOf(values), interval: [low - doubt, high + doubt] };
  };
  const own: OddsOf = ({ odds }) => odds;
  const robust = (oddsOf: OddsOf) => Float64Array.from(expected, (one) => robustReturn(one, oddsOf, clip));

  const unclipped = Float64Array.from(complete, (steps) => weightsOf(steps, own).at(-1) as number);
  const weights = unclipped.map((weight) => Math.min(clip, weight));
  const mean = meanOf(weights);
  const snips = mean === 0 ? 0 : meanOf(Float64Array.from(complete, (steps, index) => (weights[index] as number) * returnOf(steps))) / mean;
  const influence = (value: number, weight: number) => (mean === 0 ? 0 : snips + (weight * (value - snips)) / mean);
  const dr = robust(own);
  const serving = robust((step) => step.serving);
  const doubt = Math.max(0, 1 - mean) * surpriseOf(expected);
  const squares = weights.reduce((sum, weight) => sum + weight * weight, 0);
  return {
    outcomes: complete.reduce((sum, { length }) => sum + length, 0),
    trajectories: complete.length,
    effective_sample_size: squares === 0 ? 0 : weights.reduce((sum, weight) => sum + weight, 0) ** 2 / squares,
    clip,
    clipped: meanOf(unclipped.map((weight) => (weight > clip ? 1 : 0))),
    ips: estimate(Float64Array.from(complete, (steps) => weightedReturn(steps, own, clip))),
    // To first order a ratio is a mean of its influences.
    snips: estimate(Float64Array.from(complete, (steps, index) => influence(returnOf(steps), weights[index] as number))),
    dr: estimate(dr, doubt),
    serving: estimate(serving),
    gain: estimate(
      dr.map((value, index) => value - (serving[index] as number)),
      doubt,
    ),
    ...figuresOf(expected, dr, clip),
  };
}

/** By how much returns are usually other than the reward model expects (root mean square). */
const surpriseOf = (expected: readonly Expected[]): number =>
  Math.sqrt(meanOf(expected.map(({ steps, returns }) => (returnOf(steps) - (returns[0]?.[steps[0]?.chosen as number] as number)) ** 2)));
