/** What a policy is: from what was asked and what was observed to the odds of each candidate. Choosing is not its work. */
import type { Context, SlotStatistics } from "../statistics.ts";

export interface Candidate {
  readonly id: string;
  readonly features?: Readonly<Record<string, unknown>> | undefined;
}

export interface Odds {
  /** Of each candidate, in the order given; they add up to 1. */
  readonly probabilities: readonly number[];
  /** What the policy thinks of each candidate, in its own unit: higher is better. */
  readonly scores: readonly number[];
  /** Why the candidate at this position, if it is the one: a sentence for people. */
  reason(index: number): string;
}

export interface Policy {
  readonly name: string;
  /** Changes whenever the same observations could yield other odds. */
  readonly version: string;
  /** @param candidates at least one, ids unique */
  odds(candidates: readonly Candidate[], context: Context, statistics: SlotStatistics): Odds;
}
