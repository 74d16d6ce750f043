/** Means and rates with the 95 % interval that they are known within. Pure. */

/** Of a series of scores: how many, their mean, the sum of the squares of the distances to it (Welford). */
export interface Tally {
  readonly count: number;
  readonly successes: number;
  readonly mean: number;
  readonly squares: number;
  /** Every score was 0 or 1. */
  readonly binary: boolean;
}

export type Interval = [low: number, high: number];

export const emptyTally: Tally = { count: 0, successes: 0, mean: 0, squares: 0, binary: true };

export function withScore({ count, successes, mean, squares, binary }: Tally, score: number, success: boolean): Tally {
  const distance = score - mean;
  const moved = mean + distance / (count + 1);
  return {
    count: count + 1,
    successes: successes + Number(success),
    mean: moved,
    squares: squares + distance * (score - moved),
    binary: binary && (score === 0 || score === 1),
  };
}

const normal = 1.959964;

/** Wilson's interval of a rate. */
export function wilson(successes: number, count: number): Interval {
  const rate = successes / count;
  const weight = normal ** 2 / count;
  const centre = (rate + weight / 2) / (1 + weight);
  const half = (normal * Math.sqrt((rate * (1 - rate)) / count + weight / (4 * count))) / (1 + weight);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

/**
 * The interval of the difference of two means: Newcombe's from Wilson's where scores are only 0 and 1, else Welch's.
 * Undefined where the scores say nothing about it: one alone, or all alike.
 */
export function differenceInterval(left: Tally, right: Tally): Interval | undefined {
  const difference = left.mean - right.mean;
  if (left.binary && right.binary) {
    const [leftLow, leftHigh] = wilson(left.mean * left.count, left.count);
    const [rightLow, rightHigh] = wilson(right.mean * right.count, right.count);
    return [
      difference - Math.hypot(left.mean - leftLow, rightHigh - right.mean),
      difference + Math.hypot(leftHigh - left.mean, right.mean - rightLow),
    ];
  }
  if (left.count < 2 || right.count < 2) return undefined;
  const [one, other] = [left, right].map(({ squares, count }) => squares / (count - 1) / count) as [number, number];
  const variance = one + other;
  if (variance === 0) return undefined;
  const freedom = variance ** 2 / (one ** 2 / (left.count - 1) + other ** 2 / (right.count - 1));
  const half = studentQuantile(freedom) * Math.sqrt(variance);
  return [difference - half, difference + half];
}

/** Student's t at 97.5 %: exact for 1 and 2 degrees of freedom, else the expansion of Cornish and Fisher (error below 0.2 %). */
function studentQuantile(freedom: number): number {
  const whole = Math.max(1, Math.floor(freedom));
  if (whole <= 2) return whole === 1 ? 12.7062 : 4.30265;
  const z = normal;
  return (
    z +
    (z ** 3 + z) / (4 * whole) +
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * whole ** 2) +
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * whole ** 3)
  );
}
