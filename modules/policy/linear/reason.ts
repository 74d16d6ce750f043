/**
 * Why a linear policy favours a candidate over its best rival, in words. The lead of one over the other is a sum over features;
 * each counts by how the lead would be with the rival's value (of a candidate), or with the mean of the values that were seen
 * lately (of the context). What the model itself is not sure of is not named.
 */
import { type Origin, originOf } from "../features/encode.ts";
import type { SparseRows } from "../features/sparse-rows.ts";
import { type Contribution, noChoice, ownRecord, placeOf, rivalOf, tellContributions } from "../policies/contrast.ts";
import type { KnownValues } from "../policies/known-values.ts";
import type { Situation } from "../policies/policy.ts";
import { type Block, type Expectation, expect, sumOf } from "./block.ts";
import { differencesOf } from "./differences.ts";
import { expectNewcomer, type LinearModel } from "./model.ts";

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
  const named = (common: SparseRows, row: number): Expectation => {
    if (own === undefined) return { mean: 0, variance: 0 };
    const [left, right] = [expectNamed(model, ours, common, row), expectNamed(model, theirs, common, row)];
    return { mean: left.mean - right.mean, variance: left.variance + right.variance };
  };
  const { ofCandidate, ofContext } = differencesOf({ layout, origin, chosen, rival }, known);
  const record = named(rows.common, 0).mean;
  const ofNames = ofContext.names.map((_, row) => named(ofContext.common, row));
  const weighed = [
    ...ofCandidate.names.map((name, row) => ({ name, ...expect(shared, ofCandidate.described, row, observed) })),
    ...ofContext.names.map((name, row) => ({
      name,
      ...sumOf(expect(shared, ofContext.described, row, observed), ofNames[row] as Expectation),
    })),
  ];
  return [
    ...weighed.filter(({ mean, variance }) => Math.abs(mean) >= sure * Math.sqrt(noiseVariance * variance)),
    { name: ownRecord, mean: ofNames.reduce((rest, { mean }) => rest - mean, record) },
  ].map(({ name, mean }) => ({ name, weight: mean }));
}

/** By the candidate's own weights. */
const expectNamed = (model: LinearModel, block: Block | undefined, common: SparseRows, row: number): Expectation =>
  block === undefined ? expectNewcomer(model, common, row) : expect(block, common, row, model.observed);
