/** Intervals that hold the mean with a probability of 95 %. */
import { type Random, seededRandom } from "../chance.ts";

export type Interval = readonly [low: number, high: number];

/** At the sizes of logs the bootstrap covers about a percent less than it says, so it is asked for more. */
const bootstrapRisk = 0.035;
const resamples = 1_000;

export const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index] as number;
  return sum / values.length;
};

/** Of a sample, with n − 1. */
export function varianceOf(values: ArrayLike<number>): number {
  const mean = meanOf(values);
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += ((values[index] as number) - mean) ** 2;
  return sum / (values.length - 1);
}

/**
 * Bootstrap-t (Efron 1982): as wide as the sample shows, and longer on the side to which its tail points.
 * @param values at least 2
 */
export function bootstrapInterval(values: Float64Array, seed: number): Interval {
  const random = seededRandom(seed);
  const mean = meanOf(values);
  const deviation = Math.sqrt(varianceOf(values) / values.length);
  if (deviation === 0) return [mean, mean];
  const pivots = Float64Array.from({ length: resamples }, () => pivot(values, mean, random)).sort();
  const quantile = (share: number) => pivots[Math.round(share * (resamples - 1))] as number;
  return [mean - quantile(1 - bootstrapRisk / 2) * deviation, mean - quantile(bootstrapRisk / 2) * deviation];
}

/** How far the mean of one resample is from the mean, in its own standard errors. */
function pivot(values: Float64Array, mean: number, random: Random): number {
  const count = values.length;
  let sum = 0;
  let squares = 0;
  for (let each = 0; each < count; each++) {
    const value = (values[Math.floor(random() * count)] as number) - mean;
    sum += value;
    squares += value * value;
  }
  const variance = (squares - (sum * sum) / count) / (count - 1);
  return variance <= 0 ? 0 : sum / count / Math.sqrt(variance / count);
}
