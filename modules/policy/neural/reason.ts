/** Why a network favours a candidate, in words: what the odds against the next best would be without each feature. */
import { encode, originOf } from "../features/encode.ts";
import type { Features } from "../features/walk.ts";
import type { Situation } from "../policies/policy.ts";

const mostNamed = 3;
const mostTried = 16;
const leastWeight = 0.0005;

/**
 * @param probabilities of the candidates
 * @param score logits of a situation
 * @param index of the candidate to explain
 */
export function tellReason(
  situation: Situation,
  probabilities: readonly number[],
  score: (situation: Situation) => Float32Array,
  index: number,
): string {
  const { ids } = situation;
  const percent = (position: number) => `${(100 * (probabilities[position] as number)).toFixed(1)} %`;
  const rival = bestBut(probabilities, index);
  if (rival === undefined) return "the only candidate";
  const compared = `odds of ${percent(index)} against ${percent(rival)} for ${ids[rival]}`;
  const weighed = withoutEach(situation, score, index, rival)
    .filter(({ weight }) => Math.abs(weight) >= leastWeight)
    .sort((left, right) => Math.abs(right.weight) - Math.abs(left.weight))
    .slice(0, mostNamed)
    .map(({ name, weight }) => `${name} ${weight < 0 ? "−" : "+"}${Math.abs(weight).toFixed(3)}`);
  return weighed.length === 0 ? compared : `${compared}; weighed most, in log odds: ${weighed.join(", ")}`;
}

function bestBut(probabilities: readonly number[], index: number): number | undefined {
  const others = probabilities.map((_, position) => position).filter((position) => position !== index);
  return others.toSorted((left, right) => (probabilities[right] as number) - (probabilities[left] as number))[0];
}

/** How much of the lead over the rival goes when one feature is left out. */
function withoutEach(
  situation: Situation,
  score: (situation: Situation) => Float32Array,
  index: number,
  rival: number,
): { name: string; weight: number }[] {
  const origin = originOf(situation);
  const [asked, other] = [origin?.candidates[index], origin?.candidates[rival]];
  if (origin === undefined || asked === undefined || other === undefined) return [];
  const lead = (context: Features, features: Features | undefined) => {
    const [first = 0, second = 0] = score(encode(origin.spec, context, [{ id: asked.id, features }, other], origin.embeddings));
    return first - second;
  };
  const { context } = origin;
  const { features = {} } = asked;
  const whole = lead(context, features);
  return [
    ...Object.keys(context).map((key) => ({ name: key, weight: () => whole - lead(without(context, key), features) })),
    ...Object.keys(features).map((key) => ({ name: `its ${key}`, weight: () => whole - lead(context, without(features, key)) })),
  ]
    .slice(0, mostTried)
    .map(({ name, weight }) => ({ name, weight: weight() }));
}

const without = (features: Features, key: string): Features =>
  Object.fromEntries(Object.entries(features).filter(([name]) => name !== key));
