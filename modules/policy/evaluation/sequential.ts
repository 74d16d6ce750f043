/**
 * Is one side of a running comparison better than the other? Answers may be asked for after every outcome.
 *
 * The difference is estimated by inverse propensities and bounded by a confidence sequence, which holds at all times at once:
 * the predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas, "Estimating means of bounded random
 * variables by betting" (JRSS B 2024, arXiv 2010.09686), theorem 2; with propensities as in Waudby-Smith et al.,
 * "Anytime-valid off-policy inference for contextual bandits" (arXiv 2210.10768).
 */

/** One outcome of either side, or of neither. */
export interface Compared {
  readonly side: "left" | "right" | "neither";
  /** That the side had when it was chosen. */
  readonly odds: number;
  /** In [-1, 1]. */
  readonly reward: number;
}

export interface SequentialVerdict {
  /** Mean reward of the left side less that of the right side. */
  readonly difference: number;
  readonly interval: readonly [number, number];
  readonly verdict: "left" | "right" | "not enough data";
}

/** Largest bet: below 1, so that one surprise cannot ruin. */
const largest = 0.5;

/**
 * @param outcomes in the order in which they became known
 * @param least odds that each side has at least, known before the first outcome; one that was chosen with less is refused
 * @param alpha risk that the interval ever misses the truth
 * @throws RangeError for odds below the least
 */
export function compareSequentially(outcomes: Iterable<Compared>, least: number, alpha = 0.05): SequentialVerdict {
  // With rewards r in [-1, 1] and a predictable centre c in [-1, 1], ±(r - c) / odds lies within ±bound.
  const bound = 2 / least;
  let time = 0;
  let centre = 0;
  let mean = 0.5;
  let variance = 0.25;
  let bets = 0;
  let betted = 0;
  let spent = 0;
  let lower = 0;
  let upper = 1;
  for (const { side, odds, reward } of outcomes) {
    if (side !== "neither" && odds < least * (1 - 1e-9)) throw new RangeError(`odds of ${odds} are below ${least}`);
    time++;
    const signed = side === "neither" ? 0 : ((side === "left" ? 1 : -1) * (reward - centre)) / odds;
    const value = (signed / bound + 1) / 2;
    const bet = Math.min(largest, Math.sqrt((2 * Math.log(2 / alpha)) / (variance * time * Math.log(1 + time))));
    bets += bet;
    betted += bet * value;
    spent += 4 * (value - mean) ** 2 * (-Math.log(1 - bet) - bet) * 0.25;
    const middle = betted / bets;
    const margin = (Math.log(2 / alpha) + spent) / bets;
    lower = Math.max(lower, middle - margin);
    upper = Math.min(upper, middle + margin);
    // What the next bet and the next centre are made of: nothing but the past.
    mean += (value - mean) / (time + 1);
    variance += ((value - mean) ** 2 - variance) / (time + 1);
    if (side !== "neither") centre += (reward - centre) / (time + 1);
  }
  const scaled = (value: number) => (2 * value - 1) * bound;
  const interval = [scaled(Math.min(lower, upper)), scaled(Math.max(lower, upper))] as const;
  const difference = time === 0 ? 0 : scaled(betted / bets);
  return { difference, interval, verdict: interval[0] > 0 ? "left" : interval[1] < 0 ? "right" : "not enough data" };
}
