/** The present policies over statistics, until the module serves those of policy.ts. */
import type { Context, SlotStatistics, Tally } from "../statistics.ts";
import type { Candidate, Odds } from "./policy.ts";

export interface StatisticsPolicy {
  readonly name: string;
  readonly version: string;
  /** @param candidates at least one, ids unique */
  odds(candidates: readonly Candidate[], context: Context, statistics: SlotStatistics): Odds;
}

/** Observations that the coarser estimate is worth: with as many of its own, an estimate counts half. */
const priorWeight = 1;
const leastExploration = 0.02;

/**
 * Mostly the candidate with the best estimated reward in this context, sometimes any.
 *
 * The estimate leans on coarser contexts as long as there are few observations: the mean in exactly this context is drawn towards
 * the average of the means in the contexts that share one value, and those towards the mean over all contexts. Candidates
 * without any outcome come first, with equal odds. Then any candidate is explored with probability ε = candidates / outcomes,
 * never below 2 %.
 */
export const bestSoFar: StatisticsPolicy = {
  name: "best_so_far",
  version: "1",
  odds(candidates, context, statistics) {
    const scores = candidates.map(({ id }) => estimate(id, context, statistics));
    const counts = candidates.map(({ id }) => statistics.overall(id).count);
    const untried = counts.filter((count) => count === 0).length;
    if (untried > 0) {
      return {
        scores,
        probabilities: counts.map((count) => (count === 0 ? 1 / untried : 0)),
        reason: () => `not tried yet, like ${untried - 1} of the ${candidates.length - 1} others`,
      };
    }

    const outcomes = counts.reduce((sum, count) => sum + count, 0);
    const exploration = Math.max(leastExploration, Math.min(1, candidates.length / outcomes));
    const best = scores.indexOf(Math.max(...scores));
    const explored = exploration / candidates.length;
    return {
      scores,
      probabilities: scores.map((_, index) => (index === best ? 1 - exploration + explored : explored)),
      reason: (index) => {
        const here = statistics.within(context, candidates[index]?.id ?? "").count;
        const evidence = `estimated reward ${scores[index]?.toFixed(3)} from ${here} outcomes in this context and ${counts[index]} in all`;
        return index === best ? `best so far: ${evidence}` : `explored: ${evidence}, the best has ${scores[best]?.toFixed(3)}`;
      },
    };
  },
};

function estimate(candidate: string, context: Context, statistics: SlotStatistics): number {
  const overall = statistics.overall(candidate);
  const mean = overall.count === 0 ? 0 : overall.total / overall.count;
  const alongside = statistics.alongside(context, candidate).map((tally) => drawn(tally, mean));
  const coarser = alongside.length === 0 ? mean : alongside.reduce((sum, value) => sum + value, 0) / alongside.length;
  return drawn(statistics.within(context, candidate), coarser);
}

const drawn = ({ count, total }: Readonly<Tally>, towards: number) => (total + priorWeight * towards) / (count + priorWeight);

export const uniform: StatisticsPolicy = {
  name: "uniform",
  version: "1",
  odds: (candidates) => ({
    probabilities: candidates.map(() => 1 / candidates.length),
    scores: candidates.map(() => 0),
    reason: () => `drawn from ${candidates.length} with equal odds`,
  }),
};
