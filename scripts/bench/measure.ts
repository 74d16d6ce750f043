/** Timing of repeated operations. */

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

/** The median over rounds in which raw and ours alternate, so that both see the same machine. */
export async function alternate<Result>(
  rounds: number,
  raw: () => Promise<Result>,
  ours: () => Promise<Result>,
): Promise<{ raw: Result[]; ours: Result[] }> {
  const results: { raw: Result[]; ours: Result[] } = { raw: [], ours: [] };
  for (let round = 0; round < rounds; round++) {
    results.raw.push(await raw());
    results.ours.push(await ours());
  }
  return results;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);
