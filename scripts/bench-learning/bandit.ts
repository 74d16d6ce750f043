/** A choice that repeats itself, with outcomes that are known to the benchmark alone. */
import { draw, type Random, seededRandom } from "../../modules/policy/chance.ts";
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
  round(index: number): Round;
}

/** What came of playing: one entry a round. */
export interface Played {
  /** Expected reward lost against the best candidate of the round. */
  readonly regret: readonly number[];
  /** What uniform odds would lose in expectation. */
  readonly uniformRegret: readonly number[];
  readonly chosen: readonly string[];
  /** Whether the best candidate was chosen. */
  readonly best: readonly boolean[];
}

/** Plays all rounds with a policy of this kind that starts knowing nothing. */
export function play(kind: PolicyKind, bandit: Bandit, seed: number): Played {
  const policy = kind.create({ spec: defaultSpec, seed });
  const random: Random = seededRandom(seed ^ 0x5eed);
  const pending = new Map<number, Experience[]>();
  const played = { regret: [] as number[], uniformRegret: [] as number[], chosen: [] as string[], best: [] as boolean[] };
  for (let index = 0; index < bandit.rounds; index++) {
    const { context, candidates, expected, reward, delay = 0 } = bandit.round(index);
    const situation = encode(defaultSpec, context, candidates);
    const { probabilities } = policy.odds(situation);
    const chosen = draw(probabilities, random());
    const experience = { situation, chosen, probability: probabilities[chosen] as number, reward: reward(chosen) };
    if (Number.isFinite(delay)) pending.set(index + delay, [...(pending.get(index + delay) ?? []), experience]);
    for (const known of pending.get(index) ?? []) policy.observe?.(known);
    pending.delete(index);
    const most = Math.max(...expected);
    played.regret.push(most - (expected[chosen] as number));
    played.uniformRegret.push(most - expected.reduce((sum, value) => sum + value, 0) / expected.length);
    played.chosen.push(candidates[chosen]?.id ?? "");
    played.best.push(expected[chosen] === most);
  }
  return played;
}

export const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
