/**
 * What was observed in one slot: how often each candidate was tried and how it was rewarded, in every context and in the
 * coarser ones that it belongs to. Pure; the same observations in the same order yield the same statistics.
 */
export type ContextValue = string | number | boolean | null;
export type Context = Readonly<Record<string, ContextValue>>;

/** Observations of one candidate. */
export interface Tally {
  count: number;
  /** Sum of the rewards. */
  total: number;
}

export interface StatisticsSnapshot {
  readonly selections: number;
  readonly outcomes: number;
  /** Least recently observed first: cell, then candidate → [count, total]. */
  readonly cells: readonly (readonly [string, readonly (readonly [string, number, number])[]])[];
}

/** Bounds for contexts and candidates that never come again. */
const maximumCells = 1_000;
const maximumCandidates = 256;
const everywhere = "";

export class SlotStatistics {
  selections = 0;
  outcomes = 0;
  readonly #cells = new Map<string, Map<string, Tally>>();

  static from(snapshot: StatisticsSnapshot): SlotStatistics {
    const statistics = new SlotStatistics();
    statistics.selections = snapshot.selections;
    statistics.outcomes = snapshot.outcomes;
    for (const [cell, tallies] of snapshot.cells) {
      statistics.#cells.set(cell, new Map(tallies.map(([candidate, count, total]) => [candidate, { count, total }])));
    }
    return statistics;
  }

  toSnapshot(): StatisticsSnapshot {
    const cells = [...this.#cells].map(
      ([cell, tallies]) => [cell, [...tallies].map(([candidate, { count, total }]) => [candidate, count, total] as const)] as const,
    );
    return { selections: this.selections, outcomes: this.outcomes, cells };
  }

  observe(context: Context, candidate: string, reward: number): void {
    this.outcomes++;
    for (const cell of new Set([...parts(context), whole(context), everywhere])) {
      const tallies = this.#cells.get(cell) ?? new Map<string, Tally>();
      const { count, total } = tallies.get(candidate) ?? { count: 0, total: 0 };
      touch(tallies, candidate, { count: count + 1, total: total + reward }, maximumCandidates);
      touch(this.#cells, cell, tallies, maximumCells);
    }
  }

  /** Over all contexts. */
  overall(candidate: string): Readonly<Tally> {
    return this.#tally(everywhere, candidate);
  }

  /** In exactly this context. */
  within(context: Context, candidate: string): Readonly<Tally> {
    return this.#tally(whole(context), candidate);
  }

  /** In each of the contexts that share one value with this one. */
  alongside(context: Context, candidate: string): readonly Readonly<Tally>[] {
    return parts(context).map((cell) => this.#tally(cell, candidate));
  }

  candidates(): string[] {
    return [...(this.#cells.get(everywhere)?.keys() ?? [])].sort();
  }

  #tally(cell: string, candidate: string): Readonly<Tally> {
    return this.#cells.get(cell)?.get(candidate) ?? { count: 0, total: 0 };
  }
}

const parts = (context: Context): string[] =>
  Object.keys(context)
    .sort()
    .map((key) => JSON.stringify([key, context[key]]));

const whole = (context: Context): string => parts(context).join();

/** Puts the entry last, and drops the one that was touched longest ago when there are too many. */
function touch<Value>(entries: Map<string, Value>, key: string, value: Value, maximum: number): void {
  entries.delete(key);
  entries.set(key, value);
  if (entries.size > maximum) entries.delete(entries.keys().next().value as string);
}
