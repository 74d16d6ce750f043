import type { Policy, PolicyKind } from "./policy.ts";
import { packState, unpackState } from "./state.ts";

/** Every candidate with the same odds: the baseline, and the fairest explorer. */
const policy: Policy = {
  name: "uniform",
  version: "1",
  odds: ({ ids }) => ({
    probabilities: ids.map(() => 1 / ids.length),
    scores: ids.map(() => 0),
    reason: () => `drawn from ${ids.length} with equal odds`,
  }),
  save: () => packState("uniform", "", {}, []),
};

export const uniform: PolicyKind = {
  name: "uniform",
  create: () => policy,
  load(bytes) {
    unpackState(bytes, "uniform", "");
    return policy;
  },
};
