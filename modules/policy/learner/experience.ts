/** From the texts of the ledger to what policies learn from, encoded by any feature spec, whichever it was when they were logged. */
import { encode } from "../features/encode.ts";
import type { FeatureSpec } from "../features/spec.ts";
import type { Experience } from "../policies/policy.ts";
import type { Selected } from "../schema.ts";
import type { OutcomeText } from "./messages.ts";

export interface Logged extends Experience {
  readonly ordinal: number;
  /** Which deployment chose. */
  readonly deployment: string;
}

export function experienceOf(spec: FeatureSpec, { selected: text, reward, ordinal }: OutcomeText): Logged {
  const selected: Selected = JSON.parse(text);
  const { context, candidates, embeddings, choice, probability, policy, deployment = policy, episode } = selected;
  return {
    situation: encode(spec, context, candidates, embeddings),
    chosen: candidates.findIndex(({ id }) => id === choice),
    probability,
    reward,
    ordinal,
    deployment,
    ...(episode && { episode }),
  };
}

/** Whoever chooses seldom knows that it is the last time: the furthest step of an episode is its last, unless one said so. */
export function withEnds(logged: readonly Logged[]): Logged[] {
  const furthest = new Map<string, number>();
  for (const { episode } of logged) {
    if (episode) furthest.set(episode.id, episode.last ? Number.POSITIVE_INFINITY : Math.max(episode.step, furthest.get(episode.id) ?? 0));
  }
  return logged.map((one) => {
    const { episode } = one;
    return episode && furthest.get(episode.id) === episode.step ? { ...one, episode: { ...episode, last: true } } : one;
  });
}
