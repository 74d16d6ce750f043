/** Whether the intervals of the estimates hold the known value as often as they say. */
import { evaluateOffPolicy } from "../../../modules/policy/evaluation/off-policy.ts";
import { defaultSpec } from "../../../modules/policy/features/spec.ts";
import { expectedReward, logged, preferring } from "../logged.ts";
import type { Problem } from "../problem.ts";

const [serving, judged] = [preferring(-3), preferring(10)];
const truth = expectedReward(judged);
const estimators = ["ips", "snips", "dr"] as const;

export const offPolicy: Problem = {
  name: "off-policy",
  description: "what a good policy is worth, from 1 000 choices of a bad one: do the 95 % intervals hold the truth",
  goals: estimators.map((estimator) => ({ measure: `${estimator}_covers`, atLeast: 0.93 })),
  seeds: 200,
  run(seed) {
    const evaluation = evaluateOffPolicy(logged(1_000, serving, judged, seed), { spec: defaultSpec, seed });
    const measures = estimators.flatMap((estimator) => {
      const { value, interval } = evaluation[estimator];
      return [
        [`${estimator}_covers`, interval[0] <= truth && truth <= interval[1] ? 1 : 0],
        [`${estimator}_error`, value - truth],
        [`${estimator}_width`, interval[1] - interval[0]],
      ] as const;
    });
    return { ...Object.fromEntries(measures), effective_sample_size: evaluation.effective_sample_size };
  },
};
