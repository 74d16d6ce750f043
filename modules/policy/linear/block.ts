/**
 * Weights with what is known of them: independent normal distributions, updated by assumed-density filtering (the exact
 * posterior, less the correlations). All variances are in units of the noise. Everything takes time in proportion to the positions of a row that are looked at.
 */
export interface Block {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  /** What the variances were before anything was known, and what they return to when things change. */
  readonly prior: number;
  /** Outcomes that the model had observed when the variances were last brought up to date. */
  clock: number;
}

/** What is expected of a sum of weights. */
export interface Expectation {
  readonly mean: number;
  readonly variance: number;
}

/** Variances grow by this factor an outcome: what was learned 5 000 outcomes ago counts for little any more. */
const growth = 1.0002;
/**
 * Weights that are learned together are known better together than each by itself. Their variances shrink by this factor
 * faster than they should singly, but not by more than `mostAtOnce`: that makes up for the correlations that are not kept. By
 * measurement (bench:learning).
 */
const togetherness = 2;
const mostAtOnce = 0.9;

export const createBlock = (length: number, prior: number, clock: number): Block => ({
  mean: new Float64Array(length),
  variance: new Float64Array(length).fill(prior),
  prior,
  clock,
});

/** Positions of a row before `end` that are not zero. */
export function activeIn(row: Float32Array, end: number): Int32Array {
  const active = new Int32Array(end);
  let count = 0;
  for (let index = 0; index < end; index++) if (row[index] !== 0) active[count++] = index;
  return active.subarray(0, count);
}

/** Of Σ weight × row over the active positions. @param now outcomes that the model observed */
export function expectActive({ mean, variance, prior, clock }: Block, row: Float32Array, active: Int32Array, now: number): Expectation {
  const grown = growth ** (now - clock);
  let expected = 0;
  let uncertain = 0;
  for (let each = 0; each < active.length; each++) {
    const index = active[each] as number;
    const value = row[index] as number;
    expected += (mean[index] as number) * value;
    uncertain += Math.min(prior, (variance[index] as number) * grown) * value * value;
  }
  return { mean: expected, variance: uncertain };
}

/** The same over all positions from `start` to `end`. */
export function expectBetween(
  { mean, variance, prior, clock }: Block,
  row: Float32Array,
  start: number,
  end: number,
  now: number,
): Expectation {
  const grown = growth ** (now - clock);
  let expected = 0;
  let uncertain = 0;
  for (let index = start; index < end; index++) {
    const value = row[index] as number;
    expected += (mean[index] as number) * value;
    uncertain += Math.min(prior, (variance[index] as number) * grown) * value * value;
  }
  return { mean: expected, variance: uncertain };
}

/** Brings the variances up to date. */
export function refresh(block: Block, now: number): void {
  const { variance, prior } = block;
  const grown = growth ** (now - block.clock);
  for (let index = 0; index < variance.length; index++) variance[index] = Math.min(prior, (variance[index] as number) * grown);
  block.clock = now;
}

/**
 * @param surprise what was observed, less what was expected
 * @param total variance of the surprise, noise included
 */
export function update({ mean, variance }: Block, row: Float32Array, active: Int32Array, surprise: number, total: number): void {
  for (let each = 0; each < active.length; each++) {
    const index = active[each] as number;
    const value = row[index] as number;
    const gain = ((variance[index] as number) * value) / total;
    mean[index] = (mean[index] as number) + gain * surprise;
    variance[index] = (variance[index] as number) * (1 - Math.min(mostAtOnce, togetherness * gain * value));
  }
}

/** Σ row² */
export function squaredNorm(row: Float32Array, active: Int32Array): number {
  let sum = 0;
  for (let each = 0; each < active.length; each++) sum += (row[active[each] as number] as number) ** 2;
  return sum;
}
