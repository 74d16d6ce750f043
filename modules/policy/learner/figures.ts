/** Figures of a policy on logged outcomes, beside its value. */
import { meanOf } from "../evaluation/intervals.ts";
import type { Judged } from "../evaluation/off-policy.ts";

export interface Figures {
  /**
   * How far the policy's odds of a chosen candidate are from how often such a choice turned out good, better than usual: the
   * expected calibration error over ten bins, in [0, 1].
   */
  readonly calibration_error: number;
  /** Value of the best fixed choice less that of the policy; below 0 the policy is better. */
  readonly regret: number;
}

const bins = 10;

/** @param value of the policy, expected reward of a choice */
export const figuresOf = (judged: readonly Judged[], value: number): Figures => ({
  calibration_error: calibrationError(judged),
  regret: bestFixed(judged) - value,
});

function calibrationError(judged: readonly Judged[]): number {
  const usual = meanOf(judged.map(({ reward }) => reward));
  const sums = Array.from({ length: bins }, () => ({ odds: 0, good: 0 }));
  for (const { odds, chosen, reward } of judged) {
    const own = odds[chosen] as number;
    const bin = sums[Math.min(bins - 1, Math.floor(own * bins))] as { odds: number; good: number };
    bin.odds += own;
    bin.good += reward > usual ? 1 : 0;
  }
  return sums.reduce((sum, { odds, good }) => sum + Math.abs(odds - good), 0) / judged.length;
}

/** By self-normalised inverse propensities, among the candidates that were chosen at all. */
function bestFixed(judged: readonly Judged[]): number {
  const totals = new Map<string, { weight: number; reward: number }>();
  for (const { situation, chosen, probability, reward } of judged) {
    const id = situation.ids[chosen] as string;
    const { weight, reward: total } = totals.get(id) ?? { weight: 0, reward: 0 };
    totals.set(id, { weight: weight + 1 / probability, reward: total + reward / probability });
  }
  return Math.max(...[...totals.values()].map(({ weight, reward }) => reward / weight));
}
