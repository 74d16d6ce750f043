/**
 * What a policy would have earned on choices that others made (FORMULAS: IPS, SNIPS, DR; Dudík et al. 2011, arXiv 1103.4601).
 * Weights beyond `clip` are clipped, and the report says how many were: where they are, IPS and SNIPS lean towards what was
 * logged, and DR towards its reward model.
 */
import type { FeatureSpec } from "../features/spec.ts";
import type { Experience } from "../policies/policy.ts";
import { type Figures, figuresOf } from "./figures.ts";
import { bootstrapInterval, type Interval, meanOf } from "./intervals.ts";
import { crossFitted } from "./reward-model.ts";

/** A logged choice, and what odds two policies would have given to its candidates. */
export interface Judged extends Experience {
  /** Of the policy that is judged. */
  readonly odds: readonly number[];
  /** Of the policy that serves. */
  readonly serving: readonly number[];
}

export interface Estimate {
  /** Expected reward of a choice. */
  readonly value: number;
  /** 95 %, by bootstrap-t. */
  readonly interval: Interval;
}

export interface Evaluation extends Figures {
  readonly outcomes: number;
  /** How many outcomes from the judged policy itself these are worth: (Σw)² / Σw². */
  readonly effective_sample_size: number;
  /** Greatest weight that counts, and the share of outcomes whose weight was beyond. */
  readonly clip: number;
  readonly clipped: number;
  /** Of the judged policy, by each estimator. */
  readonly ips: Estimate;
  readonly snips: Estimate;
  readonly dr: Estimate;
  /** Of the serving policy, by DR on the same outcomes. */
  readonly serving: Estimate;
  /** What the judged policy earns more than the serving one: DR of both, outcome by outcome. */
  readonly gain: Estimate;
}

export interface EvaluationOptions {
  readonly spec: FeatureSpec;
  /** Of the resampling. */
  readonly seed: number;
  readonly clip?: number;
}

/** @param judged at least 2, none of which the judged policy learned from */
export function evaluateOffPolicy(judged: readonly Judged[], { spec, seed, clip = 20 }: EvaluationOptions): Evaluation {
  const expected = crossFitted(judged, spec);
  const valuesOf = (value: (outcome: Judged, index: number) => number) => Float64Array.from(judged, value);
  const estimate = (values: Float64Array): Estimate => ({ value: meanOf(values), interval: bootstrapInterval(values, seed) });
  const weigh = ({ chosen, probability }: Judged, odds: readonly number[]) => (odds[chosen] as number) / probability;
  const robust = (outcome: Judged, index: number, odds: readonly number[]) => {
    const q = expected[index] as readonly number[];
    const model = odds.reduce((sum, probability, position) => sum + probability * (q[position] as number), 0);
    return model + Math.min(clip, weigh(outcome, odds)) * (outcome.reward - (q[outcome.chosen] as number));
  };

  const weights = valuesOf((outcome) => Math.min(clip, weigh(outcome, outcome.odds)));
  const mean = meanOf(weights);
  const weighted = valuesOf(({ reward }, index) => (weights[index] as number) * reward);
  const snips = mean === 0 ? 0 : meanOf(weighted) / mean;
  const dr = valuesOf((outcome, index) => robust(outcome, index, outcome.odds));
  const serving = valuesOf((outcome, index) => robust(outcome, index, outcome.serving));
  const squares = weights.reduce((sum, weight) => sum + weight * weight, 0);
  return {
    outcomes: judged.length,
    effective_sample_size: squares === 0 ? 0 : weights.reduce((sum, weight) => sum + weight, 0) ** 2 / squares,
    clip,
    clipped: meanOf(valuesOf((outcome) => (weigh(outcome, outcome.odds) > clip ? 1 : 0))),
    ips: estimate(weighted),
    // To first order a ratio is a mean of its influences.
    snips: estimate(valuesOf(({ reward }, index) => (mean === 0 ? 0 : snips + ((weights[index] as number) * (reward - snips)) / mean))),
    dr: estimate(dr),
    serving: estimate(serving),
    gain: estimate(dr.map((value, index) => value - (serving[index] as number))),
    ...figuresOf(
      judged.map((outcome, index) => ({ outcome, expected: expected[index] as readonly number[], value: dr[index] as number })),
      clip,
    ),
  };
}
