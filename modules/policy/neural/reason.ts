/**
 * Why a network favours a candidate over its best rival, in words: how their log odds would change if one feature were another. A
 * transformer judges each candidate beside the others, so it is asked about the two beside the next best.
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

/** Candidates that are scored for one reason, over all passes: as many as in one choice among so many. */
const mostScored = 48;
/** In one pass of a transformer, where there are so many. */
const leastCompany = 4;
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
  const contributions = weigh(explained, known, chosen, rival);
  const greatest = Math.max(0, ...contributions.map(({ weight }) => Math.abs(weight)));
  const clear = contributions.filter(({ weight }) => Math.abs(weight) >= leastShare * greatest);
  return `${placeOf(lead)}: ${compared}; in log odds ${tellContributions(clear)}`;
}

/** What could be otherwise, in each way in which it could. */
interface Question {
  readonly name: string;
  readonly instead: readonly { readonly context: Features; readonly ours: Candidate }[];
  /** What it is counts as one of the ways. */
  readonly isAmongThem?: boolean;
}

/** How much of the lead over the rival comes of each feature. */
function weigh({ situation, logits, together, score }: Explained, known: KnownValues, chosen: number, rival: number): Contribution[] {
  const origin = originOf(situation);
  if (origin === undefined) return [];
  const { spec, context, candidates, embeddings } = origin;
  const [ours, theirs] = [candidates[chosen] as Candidate, candidates[rival] as Candidate];
  const asked: Question[] = [];
  let passes = 1;
  for (const question of questionsAbout(origin, known, ours, theirs)) {
    if ((passes + question.instead.length) * (together ? Math.min(leastCompany, candidates.length) : 2) > mostScored) break;
    passes += question.instead.length;
    asked.push(question);
  }
  const others = together ? bestFirst(logits).filter((position) => position !== chosen && position !== rival) : [];
  const beside = others.slice(0, Math.floor(mostScored / passes) - 2).map((position) => candidates[position] as Candidate);
  const leadWith = (features: Features, our: Candidate) => {
    const scores = score(encode(spec, features, [our, theirs, ...beside], embeddings));
    return (scores[0] as number) - (scores[1] as number);
  };
  const lead = leadWith(context, ours);
  return asked.map(({ name, instead, isAmongThem }) => {
    const leads = instead.map((each) => leadWith(each.context, each.ours));
    if (isAmongThem) leads.push(lead);
    return { name, weight: lead - leads.reduce((sum, each) => sum + each, 0) / leads.length };
  });
}

function* questionsAbout(origin: Origin, known: KnownValues, ours: Candidate, theirs: Candidate): Generator<Question> {
  const { spec, context, embeddings } = origin;
  const vectorOf = vectorsFor(spec, embeddings);
  if (spec.identity) yield { name: ownRecord, instead: [{ context, ours: { ...ours, id: theirs.id } }] };
  const { features = {} } = ours;
  for (const key of differingKeys(features, theirs.features ?? {}, spec.keys)) {
    const other = { ...ours, features: { ...features, [key]: theirs.features?.[key] } };
    yield { name: `its ${nameOf(key, features[key], vectorOf)}`, instead: [{ context, ours: other }] };
  }
  for (const key of countedKeys(origin)) {
    const instead = known.others(key, context[key]).map((value) => ({ context: { ...context, [key]: value }, ours }));
    if (instead.length > 0) yield { name: nameOf(key, context[key], vectorOf), instead, isAmongThem: true };
  }
}

const bestFirst = (logits: ArrayLike<number>): number[] =>
  Array.from(logits, (_, position) => position).sort((left, right) => (logits[right] as number) - (logits[left] as number));

const countedKeys = ({ spec: { keys }, context }: Origin): string[] =>
  Object.keys(context).filter((key) => keys === undefined || keys.includes(key));
