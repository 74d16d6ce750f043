/** Thompson sampling without the sampling: how probable it is that each of some independent normal variables is the greatest. */
const cells = 64;
const reach = 4;
const finest = 1e-6;

/** Distribution function of the standard normal at steps of 1/256 from -8 to 8. */
const perUnit = 256;
const bound = 8;
const table = Float64Array.from({ length: 2 * bound * perUnit + 2 }, (_, index) => normalCdf(index / perUnit - bound));

/**
 * Integrates density × the others' distribution functions over the range in which the greatest can lie.
 * @returns probabilities that add up to 1
 */
export function bestOdds(means: readonly number[], variances: readonly number[]): number[] {
  const count = means.length;
  const deviations = variances.map((variance) => Math.max(finest, Math.sqrt(variance)));
  let low = Number.NEGATIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < count; index++) {
    low = Math.max(low, (means[index] as number) - reach * (deviations[index] as number));
    high = Math.max(high, (means[index] as number) + reach * (deviations[index] as number));
  }
  const odds = new Array<number>(count).fill(0);
  const before = new Float64Array(count);
  const middle = new Float64Array(count);
  const inside = new Float64Array(count);
  for (let cell = 0; cell <= cells; cell++) {
    const end = low + ((high - low) * cell) / cells;
    let all = 1;
    for (let index = 0; index < count; index++) {
      const after = cdf((end - (means[index] as number)) / (deviations[index] as number));
      const until = before[index] as number;
      inside[index] = after - until;
      middle[index] = (after + until) / 2;
      all *= middle[index] as number;
      before[index] = after;
    }
    for (let index = 0; index < count; index++) {
      const part = inside[index] as number;
      if (part > 0) odds[index] = (odds[index] as number) + (part * all) / (middle[index] as number);
    }
  }
  const sum = odds.reduce((total, value) => total + value, 0);
  return odds.map((value) => value / sum);
}

function cdf(deviations: number): number {
  if (deviations <= -bound) return 0;
  if (deviations >= bound) return 1;
  const position = (deviations + bound) * perUnit;
  const index = position | 0;
  const lower = table[index] as number;
  return lower + (position - index) * ((table[index + 1] as number) - lower);
}

/** Abramowitz and Stegun 26.2.17, error below 1e-7. */
function normalCdf(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const tail =
    (Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI)) *
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return x >= 0 ? 1 - tail : tail;
}
