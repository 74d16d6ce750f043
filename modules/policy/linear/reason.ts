/**
 * Why a linear policy favours a candidate over its best rival, in words. The lead of one over the other is a sum over features;
 * each counts by how the lead would be with the rival's value (of a candidate), or with the mean of the values that were seen
 * lately (of the context). What the model itself is not sure of is not named.
 */
import { type Origin, originOf } from "../features/encode.ts";
import { type Contribution, noChoice, ownRecord, placeOf, rivalOf, tellContributions } from "../policies/contrast.ts";
import type { KnownValues } from "../policies/known-values.ts";
import type { Situation } from "../policies/policy.ts";
import { type Block, type Expectation, expectBetween } from "./block.ts";
import { candidateDifferences, contextDifferences, type Difference } from "./differences.ts";
import type { LinearModel } from "./model.ts";

/** Standard deviations from zero from which on the model is sure that a feature makes a difference. */
const sure = 2.5;

/** @param chosen position of the candidate to explain */
export function tellReason(
  model: LinearModel,
  situation: Situation,
  predictions: readonly Expectation[],
  chosen: number,
  known: KnownValues,
): string {
  const means = predictions.map(({ mean }) => mean);
  const rival = rivalOf(means, chosen);
  if (rival === undefined) return noChoice;
  const { mean, variance } = predictions[chosen] as Expectation;
  const lead = mean - (means[rival] as number);
  const place = placeOf(lead);
  const distance = place === "drawn from equals" ? "as much as" : `${Math.abs(lead).toFixed(3)} ${lead < 0 ? "less" : "more"} than`;
  const origin = originOf(situation);
  const contributions = origin === undefined ? [] : weigh(model, situation, origin, known, chosen, rival);
  const estimate = `expected reward ${mean.toFixed(3)} ± ${Math.sqrt(variance).toFixed(3)}`;
  return `${place}: ${estimate}, ${distance} ${situation.ids[rival]}; ${tellContributions(contributions)}`;
}

/** Of all features that differ; what is known of the two by their ids in general is what is left. */
function weigh(
  model: LinearModel,
  { rows, ids }: Situation,
  origin: Origin,
  known: KnownValues,
  chosen: number,
  rival: number,
): Contribution[] {
  const { layout, shared, own, observed, noiseVariance } = model;
  const [ours, theirs] = [own?.get(ids[chosen] as string), own?.get(ids[rival] as string)];
  const described = ({ row }: Difference) => expectBetween(shared, row, layout.candidate, layout.length, observed);
  const named = ({ row }: Difference): Expectation => {
    if (own === undefined) return nothing;
    const [left, right] = [expectNamed(model, ours, row), expectNamed(model, theirs, row)];
    return { mean: left.mean - right.mean, variance: left.variance + right.variance };
  };
  const pair = { layout, origin, chosen, rival };
  const ofContext = contextDifferences(pair, known);
  const weighed = [
    ...candidateDifferences(pair).map((each) => ({ name: each.name, ...described(each) })),
    ...ofContext.map((each) => ({ name: each.name, ...sumOf(described(each), named(each)) })),
  ];
  const record = { name: ownRecord, row: withoutThese(rows[chosen] as Float32Array, ofContext, layout.candidate) };
  return [
    ...weighed.filter(({ mean, variance }) => Math.abs(mean) >= sure * Math.sqrt(noiseVariance * variance)),
    { name: ownRecord, mean: named(record).mean },
  ].map(({ name, mean }) => ({ name, weight: mean }));
}

const nothing: Expectation = { mean: 0, variance: 0 };

const sumOf = (left: Expectation, right: Expectation): Expectation => ({
  mean: left.mean + right.mean,
  variance: left.variance + right.variance,
});

/** By the candidate's own weights; a newcomer has none yet. */
function expectNamed({ layout, spread, noiseVariance, observed }: LinearModel, block: Block | undefined, row: Float32Array): Expectation {
  if (block !== undefined) return expectBetween(block, row, 0, layout.candidate, observed);
  let squares = 0;
  for (let index = 0; index < layout.candidate; index++) squares += (row[index] as number) ** 2;
  return { mean: 0, variance: (spread / noiseVariance) * squares };
}

function withoutThese(row: Float32Array, differences: readonly Difference[], end: number): Float32Array {
  const rest = row.slice(0, end);
  for (const difference of differences) {
    for (let index = 0; index < end; index++) rest[index] = (rest[index] as number) - (difference.row[index] as number);
  }
  return rest;
}
