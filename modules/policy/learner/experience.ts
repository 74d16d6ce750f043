/** From the texts of the ledger to what policies learn from, encoded by any feature spec, whichever it was when they were logged. */
import { encode } from "../features/encode.ts";
import type { FeatureSpec } from "../features/spec.ts";
import type { Candidate, Experience, LinearRows, Situation } from "../policies/policy.ts";
import type { Selected } from "../schema.ts";
import type { OutcomeText } from "./messages.ts";

export interface Logged extends Experience {
  readonly ordinal: number;
  /** Which deployment chose. */
  readonly deployment: string;
}

export function experienceOf(spec: FeatureSpec, { selected: text, reward, ordinal, desirable }: OutcomeText): Logged {
  const selected: Selected = JSON.parse(text);
  const { context, candidates, embeddings, choice, probability, policy, deployment = policy, episode } = selected;
  const ids = sharedIds(candidates);
  return {
    situation: new StoredSituation(spec, JSON.stringify({ context, candidates, embeddings }), ids),
    chosen: ids.indexOf(choice),
    probability,
    reward,
    ordinal,
    deployment,
    ...(desirable !== null && { desirable: desirable === 1 }),
    ...(episode && { episode }),
  };
}

let latestIds: readonly string[] = [];

/** Mostly the same candidates are asked for again and again: their ids are kept once. */
function sharedIds(candidates: readonly Candidate[]): readonly string[] {
  const isSame = candidates.length === latestIds.length && candidates.every(({ id }, index) => id === latestIds[index]);
  if (!isSame) latestIds = candidates.map(({ id }) => id);
  return latestIds;
}

/** As numbers a situation takes a hundred times the memory of its text, so only the one that was used last is kept so. */
class StoredSituation implements Situation {
  static #latest: { readonly of: StoredSituation; readonly situation: Situation } | undefined;
  readonly #spec: FeatureSpec;
  readonly #text: string;
  readonly ids: readonly string[];

  constructor(spec: FeatureSpec, text: string, ids: readonly string[]) {
    this.#spec = spec;
    this.#text = text;
    this.ids = ids;
  }

  get context(): Float32Array {
    return this.#encoded().context;
  }

  get candidates(): readonly Float32Array[] {
    return this.#encoded().candidates;
  }

  get rows(): LinearRows {
    return this.#encoded().rows;
  }

  #encoded(): Situation {
    if (StoredSituation.#latest?.of === this) return StoredSituation.#latest.situation;
    const { context, candidates, embeddings }: Selected = JSON.parse(this.#text);
    const situation = encode(this.#spec, context, candidates, embeddings);
    StoredSituation.#latest = { of: this, situation };
    return situation;
  }
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
