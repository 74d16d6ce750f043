/** Figures beside the value of a policy, from the same outcomes and the same reward model. */
import { meanOf, varianceOf } from "./intervals.ts";
import type { Judged } from "./off-policy.ts";

export interface Figures {
  /**
   * How far the rewards that the reward model expected, from other outcomes alone, are from those that came: the expected
   * calibration error over ten bins with as many outcomes each, in the unit of the reward.
   */
  readonly reward_calibration_error: number;
  /**
   * What the best fixed choice earns more than the policy; below 0 the policy is better. A fixed choice is one candidate wherever
   * it is offered, and elsewhere the policy's own. Absent where no candidate was chosen often enough to tell.
   */
  readonly regret?: number;
}

/** What one outcome says about a policy. */
export interface Estimated {
  readonly outcome: Judged;
  /** Reward that the model expects of each candidate. */
  readonly expected: readonly number[];
  /** Doubly robust value of the policy. */
  readonly value: number;
}

const bins = 10;
/** Outcomes that those of a candidate have to be worth: (Σw)² / Σw². Fewer are luck. */
const leastEffective = 30;
/** Standard errors, for a lower bound of 97.5 %. */
const doubt = 1.96;

/** @param clip greatest weight that counts */
export function figuresOf(estimated: readonly Estimated[], clip: number): Figures {
  const regret = regretOf(estimated, clip);
  return { reward_calibration_error: calibrationError(estimated), ...(regret !== undefined && { regret }) };
}

function calibrationError(estimated: readonly Estimated[]): number {
  const pairs = estimated
    .map(({ outcome: { chosen, reward }, expected }) => ({ expected: expected[chosen] as number, reward }))
    .toSorted((left, right) => left.expected - right.expected);
  const sums = new Float64Array(bins);
  for (const [rank, { expected, reward }] of pairs.entries()) {
    const bin = Math.floor((bins * rank) / pairs.length);
    sums[bin] = (sums[bin] as number) + expected - reward;
  }
  return sums.reduce((sum, difference) => sum + Math.abs(difference), 0) / pairs.length;
}

/** The best by its lower bound, so that of many candidates not the luckiest is taken. */
function regretOf(estimated: readonly Estimated[], clip: number): number | undefined {
  let best: { readonly bound: number; readonly regret: number } | undefined;
  for (const id of wellKnown(estimated, clip)) {
    const gains = estimated.map(({ outcome: { situation, chosen, probability, reward }, expected, value }) => {
      const position = situation.ids.indexOf(id);
      if (position < 0) return 0;
      const q = expected[position] as number;
      return q + (chosen === position ? Math.min(clip, 1 / probability) * (reward - q) : 0) - value;
    });
    const regret = meanOf(gains);
    const bound = regret - doubt * Math.sqrt(varianceOf(gains) / gains.length);
    if (best === undefined || bound > best.bound) best = { bound, regret };
  }
  return best?.regret;
}

function wellKnown(estimated: readonly Estimated[], clip: number): string[] {
  const sums = new Map<string, { weight: number; square: number }>();
  for (const { outcome } of estimated) {
    const id = outcome.situation.ids[outcome.chosen] as string;
    const weight = Math.min(clip, 1 / outcome.probability);
    const { weight: total, square } = sums.get(id) ?? { weight: 0, square: 0 };
    sums.set(id, { weight: total + weight, square: square + weight * weight });
  }
  return [...sums].filter(([, { weight, square }]) => weight ** 2 / square >= leastEffective).map(([id]) => id);
}
