/**
 * Weights with what is known of them: independent normal distributions, updated by assumed-density filtering (the exact
 * posterior, less the correlations). All variances are in units of the noise. Everything takes time in proportion to the entries of a row.
 */
import type { SparseRows } from "../features/sparse-rows.ts";

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

/** Of Σ weight × value over one row. @param now outcomes that the model observed */
export function expect(
  { mean, variance, prior, clock }: Block,
  { starts, positions, values }: SparseRows,
  row: number,
  now: number,
): Expectation {
  const grown = growth ** (now - clock);
  const end = starts[row + 1] as number;
  let expected = 0;
  let uncertain = 0;
  for (let entry = starts[row] as number; entry < end; entry++) {
    const position = positions[entry] as number;
    const value = values[entry] as number;
    expected += (mean[position] as number) * value;
    uncertain += Math.min(prior, (variance[position] as number) * grown) * value * value;
  }
  return { mean: expected, variance: uncertain };
}

export const sumOf = (left: Expectation, right: Expectation): Expectation => ({
  mean: left.mean + right.mean,
  variance: left.variance + right.variance,
});

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
export function update(
  { mean, variance }: Block,
  { starts, positions, values }: SparseRows,
  row: number,
  surprise: number,
  total: number,
): void {
  const end = starts[row + 1] as number;
  for (let entry = starts[row] as number; entry < end; entry++) {
    const position = positions[entry] as number;
    const value = values[entry] as number;
    const gain = ((variance[position] as number) * value) / total;
    mean[position] = (mean[position] as number) + gain * surprise;
    variance[position] = (variance[position] as number) * (1 - Math.min(mostAtOnce, togetherness * gain * value));
  }
}
