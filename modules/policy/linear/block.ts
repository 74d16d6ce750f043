/**
 * Weights with what is known of them: independent normal distributions, updated by assumed-density filtering (the exact
 * posterior, less the correlations). Everything takes time in proportion to the positions of a row that are not zero.
 */
export interface Block {
  readonly mean: Float64Array;
  readonly variance: Float64Array;
  /** What the variances were before anything was known, and what they return to when things change. */
  readonly prior: number;
}

export const createBlock = (length: number, prior: number): Block => ({
  mean: new Float64Array(length),
  variance: new Float64Array(length).fill(prior),
  prior,
});

/** Positions of a row between `from` and `to` that are not zero. */
export function activeIn(row: Float32Array, from: number, to: number): Int32Array {
  const active = new Int32Array(to - from);
  let count = 0;
  for (let index = from; index < to; index++) if (row[index] !== 0) active[count++] = index;
  return active.subarray(0, count);
}

/** Σ mean × row */
export function expectation({ mean }: Block, row: Float32Array, active: Int32Array): number {
  let sum = 0;
  for (let each = 0; each < active.length; each++) {
    const index = active[each] as number;
    sum += (mean[index] as number) * (row[index] as number);
  }
  return sum;
}

/** Σ variance × row² */
export function uncertainty({ variance }: Block, row: Float32Array, active: Int32Array): number {
  let sum = 0;
  for (let each = 0; each < active.length; each++) {
    const index = active[each] as number;
    const value = row[index] as number;
    sum += (variance[index] as number) * value * value;
  }
  return sum;
}

/** Σ row² */
export function squaredNorm(row: Float32Array, active: Int32Array): number {
  let sum = 0;
  for (let each = 0; each < active.length; each++) sum += (row[active[each] as number] as number) ** 2;
  return sum;
}

/**
 * @param surprise what was observed, less what was expected
 * @param total variance of the surprise, noise included
 */
export function update({ mean, variance }: Block, row: Float32Array, active: Int32Array, surprise: number, total: number): void {
  for (let each = 0; each < active.length; each++) {
    const index = active[each] as number;
    const gain = (variance[index] as number) * (row[index] as number);
    mean[index] = (mean[index] as number) + (gain * surprise) / total;
    variance[index] = (variance[index] as number) - (gain * gain) / total;
  }
}
