/** How often the gate lets a worse policy pass, and a better one. */
import { evaluateOffPolicy } from "../../../modules/policy/evaluation/off-policy.ts";
import { decidePromotion } from "../../../modules/policy/evaluation/promotion.ts";
import { defaultSpec } from "../../../modules/policy/features/spec.ts";
import { logged, preferring } from "../logged.ts";
import type { Problem } from "../problem.ts";

const serving = preferring(2);
const slightlyWorse = preferring(1.6);
const worse = preferring(-3);
const better = preferring(10);

export const promotions: Problem = {
  name: "promotions",
  description: "the share of simulated promotions that pass, on 600 outcomes of the serving policy",
  goals: [
    { measure: "worse_passes", atMost: 0.05 },
    { measure: "slightly_worse_passes", atMost: 0.05 },
  ],
  seeds: 200,
  run(seed) {
    const passes = (candidate: number[][], count = 600) => {
      const judged = logged(count, serving, candidate, seed);
      return decidePromotion(evaluateOffPolicy(judged, { spec: defaultSpec, seed })).promote ? 1 : 0;
    };
    return {
      worse_passes: passes(worse),
      slightly_worse_passes: passes(slightlyWorse),
      better_passes: passes(better),
      better_passes_on_499: passes(better, 499),
    };
  },
};
