/** Timing of repeated operations. */
import type { Figure } from "./main.ts";

export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** Milliseconds of each of `count` runs, one after another, after a warm-up of a tenth of them. */
export async function latency(count: number, operation: () => Promise<unknown>): Promise<Latency> {
  for (let index = 0; index < count / 10; index++) await operation();
  const samples: number[] = [];
  for (let index = 0; index < count; index++) {
    const start = performance.now();
    await operation();
    samples.push(performance.now() - start);
  }
  return { p50: percentile(samples, 0.5), p99: percentile(samples, 0.99) };
}

/** Operations per second with `inFlight` of them under way at any time. */
export async function throughput(count: number, inFlight: number, operation: () => Promise<unknown>): Promise<number> {
  let left = count;
  const worker = async () => {
    while (left-- > 0) await operation();
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (count / (performance.now() - start)) * 1000;
}

export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Both sides of a comparison, and the median of the ratios of neighbouring measurements. */
export interface Ratio {
  readonly ratio: number;
  readonly ours: number;
  readonly raw: number;
}

/**
 * Measures both sides in turn, so that each pair sees the same machine, which may be busy with other things at times: the
 * median of the pairs' ratios is steadier than the ratio of the medians.
 */
export async function compare(rounds: number, raw: () => Promise<number>, ours: () => Promise<number>): Promise<Ratio> {
  const pairs: { raw: number; ours: number }[] = [];
  for (let round = 0; round < rounds; round++) pairs.push({ raw: await raw(), ours: await ours() });
  return {
    ratio: median(pairs.map((pair) => pair.ours / pair.raw)),
    ours: median(pairs.map((pair) => pair.ours)),
    raw: median(pairs.map((pair) => pair.raw)),
  };
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** A ratio of times as a line of the table. */
export const timeFigure = (name: string, { ratio, ours, raw }: Ratio, most: number, remark = ""): Figure => ({
  name,
  measured: ratio,
  unit: "×",
  target: `≤ ${most}`,
  met: ratio <= most,
  note: `${ours.toFixed(3)} / ${raw.toFixed(3)} ms${remark}`,
});

/** A ratio of rates as a line of the table. */
export const rateFigure = (name: string, { ratio, ours, raw }: Ratio, least: number): Figure => ({
  name,
  measured: ratio,
  unit: "×",
  target: `≥ ${least}`,
  met: ratio >= least,
  note: `${Math.round(ours)} / ${Math.round(raw)} per second`,
});
