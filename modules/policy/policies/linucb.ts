import { linearPolicy } from "../linear/policy.ts";

/** Standard deviations that the bound is above the expectation. */
const optimism = 1;

/** LinUCB (Li et al. 2010): the candidate with the highest upper confidence bound, and any other at the least odds. */
export const linucb = linearPolicy("linucb", (predictions) => {
  const bounds = predictions.map(({ mean, variance }) => mean + optimism * Math.sqrt(variance));
  const best = Math.max(...bounds);
  const ties = bounds.filter((bound) => bound === best).length;
  return bounds.map((bound) => (bound === best ? 1 / ties : 0));
});
