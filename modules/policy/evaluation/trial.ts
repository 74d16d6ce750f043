/**
 * When a trial is over: Wald's sequential probability ratio test (1945) of a policy that is better than the serving one by 0.05
 * against one that is worse by as much, each mistaken for the other once in 20 trials. What is as good passes or not.
 */
import type { Sides } from "./confidence-sequence.ts";

/** In units of the reward. */
const indifference = 0.05;
const threshold = Math.log(19);
/** Outcomes of the policy on trial, below which a mean is not yet normally distributed. */
const leastOutcomes = 100;

export interface Trial {
  /** Logarithm of how much likelier the outcomes are if the policy is better by 0.05 than if it is worse by as much. */
  readonly log_likelihood_ratio: number;
  /** At which it has passed; at the negative it has failed. */
  readonly threshold: number;
  /** Of the policy on trial that are needed in any case. */
  readonly least_outcomes: number;
  readonly result: "passed" | "failed" | "not enough data";
}

/** Of a mean: where all outcomes are alike, rounding would leave none, or less. */
const leastVariance = 1e-9;

/** @param sides the policy on trial on the left, the serving one on the right */
export function judgeTrial({ selections, left, right }: Sides): Trial {
  const difference = (left.sum - right.sum) / Math.max(1, selections);
  const spread = (left.squares + right.squares) / Math.max(1, selections) - difference ** 2;
  const variance = Math.max(leastVariance, spread / Math.max(1, selections));
  const ratio = difference === 0 ? 0 : (2 * indifference * difference) / variance;
  const isEnough = left.outcomes >= leastOutcomes && Math.abs(ratio) >= threshold;
  return {
    log_likelihood_ratio: ratio,
    threshold,
    least_outcomes: leastOutcomes,
    result: isEnough ? (ratio > 0 ? "passed" : "failed") : "not enough data",
  };
}
