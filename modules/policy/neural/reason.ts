/**
 * Why a network favours a candidate over its best rival, in words: how their log odds would change if one feature were another, in a
 * forward pass over all candidates, since a transformer judges each beside the others.
 */
import { encode, type Origin, originOf } from "../features/encode.ts";
import { vectorsFor } from "../features/texts.ts";
import type { Features } from "../features/walk.ts";
import {
  type Contribution,
  differingKeys,
  nameOf,
  noChoice,
  ownRecord,
  placeOf,
  rivalOf,
  tellContributions,
} from "../policies/contrast.ts";
import type { KnownValues } from "../policies/known-values.ts";
import type { Candidate, Situation } from "../policies/policy.ts";

/** Candidates that may be scored for one reason, over all passes. */
const mostScored = 256;
const mostPasses = 32;
/** Of the greatest contribution: what is less is noise of the training. */
const leastShare = 0.2;

export interface Explained {
  readonly situation: Situation;
  readonly probabilities: readonly number[];
  readonly logits: ArrayLike<number>;
  /** Whether the logit of a candidate has to do with the others. */
  readonly together: boolean;
  score(situation: Situation): Float32Array;
}

/** @param chosen position of the candidate to explain */
export function tellReason(explained: Explained, chosen: number, known: KnownValues): string {
  const { situation, probabilities } = explained;
  const logits = Array.from(explained.logits);
  const rival = rivalOf(logits, chosen);
  if (rival === undefined) return noChoice;
  const percent = (position: number) => `${(100 * (probabilities[position] as number)).toFixed(1)} %`;
  const lead = (logits[chosen] as number) - (logits[rival] as number);
  const compared = `odds of ${percent(chosen)} against ${percent(rival)} for ${situation.ids[rival]}`;
  const contributions = weigh(explained, known, lead, chosen, rival);
  const greatest = Math.max(0, ...contributions.map(({ weight }) => Math.abs(weight)));
  const clear = contributions.filter(({ weight }) => Math.abs(weight) >= leastShare * greatest);
  return `${placeOf(lead)}: ${compared}; in log odds ${tellContributions(clear)}`;
}

/** How much of the lead over the rival comes of each feature. */
function weigh({ situation, together, score }: Explained, known: KnownValues, lead: number, chosen: number, rival: number): Contribution[] {
  const origin = originOf(situation);
  if (origin === undefined) return [];
  const { spec, context } = origin;
  const vectorOf = vectorsFor(spec, origin.embeddings);
  const { candidates, us, them } = together
    ? { candidates: origin.candidates, us: chosen, them: rival }
    : { candidates: [origin.candidates[chosen], origin.candidates[rival]] as Candidate[], us: 0, them: 1 };
  const [ours, theirs] = [candidates[us] as Candidate, candidates[them] as Candidate];
  let passes = Math.min(mostPasses, Math.max(1, Math.floor(mostScored / candidates.length)));
  const leadWith = (features: Features, our: Candidate) => {
    passes--;
    const logits = score(encode(spec, features, candidates.with(us, our), origin.embeddings));
    return (logits[us] as number) - (logits[them] as number);
  };

  const contributions: Contribution[] = [];
  if (spec.identity) contributions.push({ name: ownRecord, weight: lead - leadWith(context, { ...ours, id: theirs.id }) });
  const { features = {} } = ours;
  for (const key of differingKeys(features, theirs.features ?? {}, spec.keys)) {
    if (passes <= 0) return contributions;
    const instead = { ...ours, features: { ...features, [key]: theirs.features?.[key] } };
    contributions.push({ name: `its ${nameOf(key, features[key], vectorOf)}`, weight: lead - leadWith(context, instead) });
  }
  for (const key of countedKeys(origin)) {
    const others = known.others(key, context[key]);
    if (others.length === 0) continue;
    if (passes < others.length) return contributions;
    const leads = others.map((value) => leadWith({ ...context, [key]: value }, ours));
    const mean = leads.reduce((sum, each) => sum + each, lead) / (leads.length + 1);
    contributions.push({ name: nameOf(key, context[key], vectorOf), weight: lead - mean });
  }
  return contributions;
}

const countedKeys = ({ spec: { keys }, context }: Origin): string[] =>
  Object.keys(context).filter((key) => keys === undefined || keys.includes(key));
