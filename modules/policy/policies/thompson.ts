import { bestOdds } from "../linear/best-odds.ts";
import { linearPolicy } from "../linear/policy.ts";

/** The posterior's deviations are widened a little: it takes weights for independent that are not. */
const widening = 1.1;

/**
 * Thompson sampling (Thompson 1933; linear: Agrawal and Goyal 2013) on a Bayesian linear model: each candidate is drawn as
 * often as it is probable that it is the best. The odds are computed, not sampled, so that they are exact propensities.
 */
export const thompson = linearPolicy("thompson", (predictions) =>
  bestOdds(
    predictions.map(({ mean }) => mean),
    predictions.map(({ variance }) => widening ** 2 * variance),
  ),
);
