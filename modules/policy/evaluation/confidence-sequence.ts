/**
 * Is one side of a running comparison better than the other? Answers may be asked for after every outcome, for any risk.
 *
 * The difference is estimated by inverse propensities and bounded by a confidence sequence, which holds at all times at once:
 * the empirical Bernstein supermartingale of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
 * confidence sequences" (Annals of Statistics 2021, arXiv 1810.08240), theorem 4, for a fixed grid of bets that share the risk;
 * with propensities as in Waudby-Smith et al., "Anytime-valid off-policy inference for contextual bandits" (arXiv 2210.10768).
 * Since the bets are fixed, a few sums are all that there is to know of the past.
 */

/** What was added up of one side. */
export interface Side {
  readonly outcomes: number;
  /** Of the rewards. */
  readonly total: number;
  /** Of (reward − centre) / odds. */
  readonly sum: number;
  /** Of the squares of these. */
  readonly squares: number;
}

export interface Sides {
  /** Of either side, or of neither. */
  readonly selections: number;
  readonly left: Side;
  readonly right: Side;
}

/** A selection that can be compared with others. */
export interface Drawn {
  /** That what was chosen had. */
  readonly odds: number;
  /** In [-1, 1]: any guess of the reward that was made before the choice; a good one makes the comparison quick. */
  readonly centre: number;
  /** In [-1, 1]; undefined while it is not known. */
  readonly reward?: number | undefined;
}

export interface Later extends Drawn {
  readonly side: "left" | "right" | "neither";
}

export interface SequentialVerdict {
  /** Mean reward of the left side less that of the right side. */
  readonly difference: number;
  readonly interval: readonly [number, number];
  readonly verdict: "left" | "right" | "not enough data";
}

export interface Bounds {
  /** Odds that each side has at least, known before the first selection. */
  readonly least: number;
  /** Risk that the interval ever misses the truth. */
  readonly alpha?: number;
}

export const noOutcomes: Side = { outcomes: 0, total: 0, sum: 0, squares: 0 };

export function add({ outcomes, total, sum, squares }: Side, { odds, centre }: Drawn, reward: number): Side {
  const value = (reward - centre) / odds;
  return { outcomes: outcomes + 1, total: total + reward, sum: sum + value, squares: squares + value * value };
}

export const meanRewardOf = ({ outcomes, total }: Side): number => (outcomes === 0 ? 0 : total / outcomes);

/**
 * What can be said by the selections whose outcomes are known without a gap, or by all of them with the worst in place of what
 * is not known, whichever says more: both hold at all times.
 * @param sides of all selections but the later ones
 */
export function compare(sides: Sides, later: readonly Later[], bounds: Bounds): SequentialVerdict {
  const known = verdictOf(sides, nothing, bounds);
  const unknown = { ...nothing };
  const all = { ...sides };
  for (const selection of later) {
    const { side, centre, odds, reward } = selection;
    all.selections++;
    if (side === "neither") continue;
    if (reward !== undefined) {
      all[side] = add(all[side], selection, reward);
      continue;
    }
    const [worst, best] = [(-1 - centre) / odds, (1 - centre) / odds];
    unknown.low += side === "left" ? worst : -best;
    unknown.high += side === "left" ? best : -worst;
    unknown.squares += Math.max(worst ** 2, best ** 2);
  }
  const whole = verdictOf(all, unknown, bounds);
  return widthOf(whole) < widthOf(known) ? whole : known;
}

const nothing = { low: 0, high: 0, squares: 0 };

/** The size of a bet decides after how many selections it says most: from a few to hundreds of millions. */
const bets = Array.from({ length: 10 }, (_, index) => 2 ** -(index + 1));

/** @param unknown what outcomes that are not known may add to the sum, and to the squares */
function verdictOf({ selections, left, right }: Sides, unknown: typeof nothing, { least, alpha = 0.05 }: Bounds): SequentialVerdict {
  if (selections === 0) return { difference: 0, interval: [-2, 2], verdict: "not enough data" };
  // With rewards and centres in [-1, 1], no selection adds more than this.
  const bound = 2 / least;
  const sum = left.sum - right.sum;
  const squares = (left.squares + right.squares + unknown.squares) / bound ** 2;
  const risk = Math.log((2 * bets.length) / alpha);
  const margins = bets.map((bet) => (bound * (risk + (-Math.log(1 - bet) - bet) * squares)) / (bet * selections));
  const low = (sum + unknown.low) / selections - Math.min(...margins);
  const high = (sum + unknown.high) / selections + Math.min(...margins);
  const verdict = low > 0 ? "left" : high < 0 ? "right" : "not enough data";
  return { difference: sum / selections, interval: [Math.max(-2, low), Math.min(2, high)], verdict };
}

const widthOf = ({ interval: [low, high] }: SequentialVerdict): number => high - low;
