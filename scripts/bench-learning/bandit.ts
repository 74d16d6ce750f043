/** A choice that repeats itself, with outcomes that are known to the benchmark alone. */
import { draw, seededRandom } from "../../modules/policy/chance.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import type { Features } from "../../modules/policy/features/walk.ts";
import type { Candidate, Experience, PolicyKind } from "../../modules/policy/policies/policy.ts";

export interface Round {
  readonly context: Features;
  readonly candidates: readonly Candidate[];
  /** Expected reward of each candidate. */
  readonly expected: readonly number[];
  /** The reward of a candidate, this time. */
  reward(index: number): number;
  /** Rounds until the outcome is known; Infinity when it never is. At once, if left out. */
  readonly delay?: number;
}

export interface Bandit {
  readonly rounds: number;
  /** To be asked for once each, in order. */
  round(index: number): Round;
}

/** What came of a round. */
export interface Played {
  readonly chosen: string;
  /** Expected reward lost against the best candidate of the round. */
  readonly regret: number;
  /** What equal odds lose in expectation. */
  readonly uniform: number;
}

/** Plays all rounds with a policy of this kind that starts knowing nothing. */
export function play(kind: PolicyKind, bandit: Bandit, seed: number): Played[] {
  const policy = kind.create({ spec: defaultSpec, seed });
  const random = seededRandom(seed ^ 0x5eed);
  const pending = new Map<number, Experience[]>();
  return Array.from({ length: bandit.rounds }, (_, index) => {
    const { context, candidates, expected, reward, delay = 0 } = bandit.round(index);
    const situation = encode(defaultSpec, context, candidates);
    const { probabilities } = policy.odds(situation);
    const chosen = draw(probabilities, random());
    const experience = { situation, chosen, probability: probabilities[chosen] as number, reward: reward(chosen) };
    if (Number.isFinite(delay)) pending.set(index + delay, [...(pending.get(index + delay) ?? []), experience]);
    for (const known of pending.get(index) ?? []) policy.observe?.(known);
    pending.delete(index);
    return { chosen: candidates[chosen]?.id ?? "", ...regretOf(expected, chosen) };
  });
}

/** The same learner where the rewards of all candidates are seen, and the one with the best score is taken. */
export function playInformed(kind: PolicyKind, bandit: Bandit, seed: number): Played[] {
  const policy = kind.create({ spec: defaultSpec, seed });
  return Array.from({ length: bandit.rounds }, (_, index) => {
    const { context, candidates, expected, reward } = bandit.round(index);
    const situation = encode(defaultSpec, context, candidates);
    const { scores } = policy.odds(situation);
    const chosen = scores.indexOf(Math.max(...scores));
    for (const each of candidates.keys()) policy.observe?.({ situation, chosen: each, probability: 1, reward: reward(each) });
    return { chosen: candidates[chosen]?.id ?? "", ...regretOf(expected, chosen) };
  });
}

/** Who always takes the same candidate, the one that turns out to be the best of those in every round. */
export function playBestFixed(bandit: Bandit): Played[] {
  const rounds = Array.from({ length: bandit.rounds }, (_, index) => bandit.round(index));
  const first = rounds[0] as Round;
  const totals = first.candidates.map((_, position) => rounds.reduce((sum, { expected }) => sum + (expected[position] as number), 0));
  const best = totals.indexOf(Math.max(...totals));
  return rounds.map(({ expected }) => ({ chosen: first.candidates[best]?.id ?? "", ...regretOf(expected, best) }));
}

function regretOf(expected: readonly number[], chosen: number): Omit<Played, "chosen"> {
  const best = Math.max(...expected);
  return { regret: best - (expected[chosen] as number), uniform: best - expected.reduce((sum, value) => sum + value, 0) / expected.length };
}

/** Regret of these rounds as a share of that of equal odds. */
export const regretShare = (played: readonly Played[]): number =>
  played.reduce((sum, { regret }) => sum + regret, 0) / played.reduce((sum, { uniform }) => sum + uniform, 0);
