/** Whether wrong outcomes get a worse policy through the gate: those that are refused are no part of it, these are taken. */
import { seededRandom } from "../../../modules/policy/chance.ts";
import { evaluateOffPolicy, type Judged } from "../../../modules/policy/evaluation/off-policy.ts";
import { decidePromotion } from "../../../modules/policy/evaluation/promotion.ts";
import { defaultSpec } from "../../../modules/policy/features/spec.ts";
import { defaultReward, gradeOf } from "../../../modules/policy/reward.ts";
import { logged, preferring } from "../logged.ts";
import type { Problem } from "../problem.ts";

const outcomes = 600;
const serving = preferring(2);
const worse = preferring(-3);
const better = preferring(10);

/** What is told instead of the reward. */
type Poison = (reward: number, random: () => number) => number;

const flipped =
  (share: number): Poison =>
  (reward, random) =>
    random() < share ? 1 - reward : reward;
/** In either direction, whatever was chosen. */
const extreme: Poison = (reward, random) => (random() < 0.1 ? 1e9 * (random() < 0.5 ? 1 : -1) : reward);

export const poisoned: Problem = {
  name: "poisoned",
  description: `the share of simulated promotions that pass, where some of ${outcomes} outcomes are flipped, extreme, or forged in favour of the worse`,
  goals: ["flipped", "half_flipped", "extreme", "forged"].map((poison) => ({ measure: `worse_passes_on_${poison}`, atMost: 0.05 })),
  seeds: 200,
  run(seed) {
    const passes = (candidate: number[][], poison: (outcome: Judged, random: () => number) => number) => {
      const random = seededRandom(seed ^ 0x901);
      const judged = logged(outcomes, serving, candidate, seed).map((outcome) => ({
        ...outcome,
        reward: gradeOf(defaultReward, { reward: poison(outcome, random) }).reward,
      }));
      return decidePromotion(evaluateOffPolicy(judged, { spec: defaultSpec, seed })).promote ? 1 : 0;
    };
    const any =
      (poison: Poison) =>
      ({ reward }: Judged, random: () => number) =>
        poison(reward, random);
    /** A twentieth of the outcomes is another's who wants the worse policy: as good as can be where it agrees, as bad elsewhere. */
    const forged = ({ reward, chosen, odds, serving: present }: Judged, random: () => number) => {
      if (random() >= 0.05) return reward;
      return (odds[chosen] as number) > (present[chosen] as number) ? 1e9 : -1e9;
    };
    return {
      worse_passes_on_flipped: passes(worse, any(flipped(0.2))),
      worse_passes_on_half_flipped: passes(worse, any(flipped(0.5))),
      worse_passes_on_extreme: passes(worse, any(extreme)),
      worse_passes_on_forged: passes(worse, forged),
      better_passes_on_flipped: passes(better, any(flipped(0.2))),
    };
  },
};
