import { z } from "zod";
import { finalise, hash } from "../features/hash.ts";
import { noChoice, rivalOf } from "./contrast.ts";
import type { Odds, Policy, PolicyKind, PolicyOptions, Situation } from "./policy.ts";
import { packState, refusedState, unpackState } from "./state.ts";

/** Observations that the coarser estimate is worth: with as many of its own, an estimate counts half. */
const priorWeight = 1;
const leastExploration = 0.02;
/** Of the odds, for candidates of which no outcome is known yet; no more, since of some there may never be one. */
const shareOfUntried = 0.2;
/** Bounds for contexts and candidates that never come again. */
const mostCells = 1_000;
const mostCandidates = 256;
const everywhere = "";

/** Observations of one candidate. */
interface Tally {
  readonly count: number;
  /** Sum of the rewards. */
  readonly total: number;
}

interface Tallies {
  observed: number;
  digest: number;
  /** By context, coarser ones too, then by candidate: least recently observed first. */
  readonly cells: Map<string, Map<string, Tally>>;
}

const tally = z.object({ count: z.int(), total: z.number() });
const header = z.object({
  observed: z.int(),
  digest: z.int(),
  cells: z.array(z.tuple([z.string(), z.array(z.tuple([z.string(), tally]))])),
});

/**
 * Mostly the candidate with the best estimated reward in this context, sometimes any.
 *
 * The estimate leans on coarser contexts as long as there are few observations: the mean in exactly this context is drawn towards
 * the average of the means in the contexts that share one number, and those towards the mean over all contexts. Any
 * candidate is explored with probability ε = candidates / outcomes, never below 2 %; those without any outcome have a fifth of the
 * odds beside that.
 */
export const bestSoFar: PolicyKind = {
  name: "best_so_far",
  create: ({ spec }) => policyOf({ observed: 0, digest: 0, cells: new Map() }, spec),
  load(bytes, { spec }) {
    const read = header.safeParse(unpackState<unknown>(bytes, "best_so_far", spec.version).header);
    if (!read.success) throw refusedState("best_so_far", spec.version, "without tallies");
    const { observed, digest, cells } = read.data;
    return policyOf({ observed, digest, cells: new Map(cells.map(([cell, tallies]) => [cell, new Map(tallies)])) }, spec);
  },
};

function policyOf(tallies: Tallies, spec: PolicyOptions["spec"]): Policy {
  return {
    name: "best_so_far",
    get version() {
      return `${tallies.observed}-${tallies.digest.toString(16).padStart(8, "0")}`;
    },
    odds: (situation) => odds(tallies, situation),
    observe({ situation: { context, ids }, chosen, reward }) {
      const id = ids[chosen] as string;
      tallies.observed++;
      tallies.digest = finalise(tallies.digest ^ hash(`${id} ${reward}`));
      for (const cell of new Set([...parts(context), whole(context), everywhere])) {
        const found = tallies.cells.get(cell) ?? new Map<string, Tally>();
        const { count, total } = tallyOf(found, id);
        touch(found, id, { count: count + 1, total: total + reward }, mostCandidates);
        touch(tallies.cells, cell, found, mostCells);
      }
    },
    save() {
      const cells = [...tallies.cells].map(([cell, found]) => [cell, [...found]] as const);
      return packState("best_so_far", spec.version, { observed: tallies.observed, digest: tallies.digest, cells }, []);
    },
  };
}

function odds({ cells }: Tallies, { context, ids }: Situation): Odds {
  const scores = ids.map((id) => estimate(cells, context, id));
  const counts = ids.map((id) => tallyOf(cells.get(everywhere), id).count);
  const outcomes = counts.reduce((sum, count) => sum + count, 0);
  const untried = counts.filter((count) => count === 0).length;
  const forUntried = untried === 0 ? 0 : untried === ids.length ? 1 : shareOfUntried;
  const best = bestTried(scores, counts);
  const exploration = Math.max(leastExploration, Math.min(1, ids.length / outcomes));
  const tried = (index: number) => (index === best ? 1 - exploration : 0) + exploration / ids.length;
  return {
    scores,
    probabilities: counts.map((count, index) => (1 - forUntried) * tried(index) + (count === 0 ? forUntried / untried : 0)),
    reason: (index) => {
      if (ids.length === 1) return noChoice;
      if (counts[index] === 0) return `explored: no outcome of it is known yet, as of ${untried - 1} of the ${ids.length - 1} others`;
      const here = tallyOf(cells.get(whole(context)), ids[index] as string).count;
      const evidence = `estimated reward ${scores[index]?.toFixed(3)} from ${here} outcomes in this context and ${counts[index]} in all`;
      const rival = rivalOf(scores, index) as number;
      return `${index === best ? "best so far" : "explored"}: ${evidence}, ${ids[rival]} has ${scores[rival]?.toFixed(3)}`;
    },
  };
}

/** -1 when none was tried. */
function bestTried(scores: readonly number[], counts: readonly number[]): number {
  let best = -1;
  scores.forEach((score, index) => {
    if (counts[index] !== 0 && (best === -1 || score > (scores[best] as number))) best = index;
  });
  return best;
}

function estimate(cells: Tallies["cells"], context: Float32Array, id: string): number {
  const overall = tallyOf(cells.get(everywhere), id);
  const mean = overall.count === 0 ? 0 : overall.total / overall.count;
  const alongside = parts(context).map((cell) => drawn(tallyOf(cells.get(cell), id), mean));
  const coarser = alongside.length === 0 ? mean : alongside.reduce((sum, value) => sum + value, 0) / alongside.length;
  return drawn(tallyOf(cells.get(whole(context)), id), coarser);
}

const drawn = ({ count, total }: Tally, towards: number) => (total + priorWeight * towards) / (count + priorWeight);

const tallyOf = (tallies: ReadonlyMap<string, Tally> | undefined, id: string): Tally => tallies?.get(id) ?? { count: 0, total: 0 };

/** Contexts that share one number with this one. */
function parts(context: Float32Array): string[] {
  const cells: string[] = [];
  context.forEach((value, index) => {
    if (value !== 0) cells.push(`${index}:${value}`);
  });
  return cells;
}

const whole = (context: Float32Array): string => parts(context).join();

/** Puts the entry last, and drops the one that was touched longest ago when there are too many. */
function touch<Value>(entries: Map<string, Value>, key: string, value: Value, maximum: number): void {
  entries.delete(key);
  entries.set(key, value);
  if (entries.size > maximum) entries.delete(entries.keys().next().value as string);
}
