import type { FeatureSpec } from "../features/spec.ts";
import { noChoice } from "./contrast.ts";
import type { Policy, PolicyKind } from "./policy.ts";
import { packState, unpackState } from "./state.ts";

/** Every candidate with the same odds: the baseline, and the fairest explorer. */
export const uniform: PolicyKind = {
  name: "uniform",
  create: ({ spec }) => policyOf(spec),
  load(bytes, { spec }) {
    unpackState(bytes, "uniform", spec.version);
    return policyOf(spec);
  },
};

const policyOf = (spec: FeatureSpec): Policy => ({
  name: "uniform",
  version: "1",
  odds: ({ ids }) => ({
    probabilities: ids.map(() => 1 / ids.length),
    scores: ids.map(() => 0),
    reason: () => (ids.length === 1 ? noChoice : `drawn from ${ids.length} with equal odds`),
  }),
  save: () => packState("uniform", spec.version, null, []),
});
