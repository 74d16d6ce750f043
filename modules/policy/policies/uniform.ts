import type { Policy } from "./policy.ts";

/** Every candidate with the same odds: the baseline, and the fairest explorer. */
export const uniform: Policy = {
  name: "uniform",
  version: "1",
  odds: (candidates) => ({
    probabilities: candidates.map(() => 1 / candidates.length),
    scores: candidates.map(() => 0),
    reason: () => `drawn from ${candidates.length} with equal odds`,
  }),
};
