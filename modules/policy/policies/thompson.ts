import { bestOdds } from "../linear/best-odds.ts";
import { linearPolicy } from "../linear/policy.ts";

/** Wider than the model says: what it leaves out, it does not know that it does not know. By measurement (bench:learning). */
const widening = 1.35;

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
