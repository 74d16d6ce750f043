/**
 * Random Fourier features (Rahimi and Recht 2007): cosines of random mixes of the features. A linear model over them is one
 * of smooth functions of all features together, interactions included. The mix of a feature follows from its name alone.
 */
import { normal, seededRandom } from "../chance.ts";
import type { SparseRowsBuilder } from "./sparse-rows.ts";

/** Frequencies, from slow for what changes with many features to fast for what changes with few. */
const slowest = 1;
const fastest = 3;
/** What the squares of the waves add up to, about: a category's is 1. */
const power = 3;
const mostRemembered = 8_192;
/** By the number of waves and the code of the feature. */
const mixes = new Map<number, Float64Array>();

/** Adds one feature to the arguments of the waves. */
export function addToPhases(phases: Float64Array, code: number, value: number): void {
  const mix = mixOf(code, phases.length);
  for (let index = 0; index < phases.length; index++) phases[index] = (phases[index] as number) + value * (mix[index] as number);
}

/** Adds the waves to a row, each times `weight`. */
export function addWaves(phases: Float64Array, row: SparseRowsBuilder, offset: number, weight = 1): void {
  const shifts = mixOf(0, phases.length);
  const height = weight * Math.sqrt((2 * power) / phases.length);
  for (let index = 0; index < phases.length; index++) {
    row.add(offset + index, height * Math.cos((phases[index] as number) + Math.PI * (shifts[index] as number)));
  }
}

function mixOf(code: number, length: number): Float64Array {
  const key = length * 2 ** 32 + code;
  const known = mixes.get(key);
  if (known !== undefined) return known;
  const random = seededRandom(code);
  const mix = Float64Array.from({ length }, (_, index) => slowest * (fastest / slowest) ** (index / (length - 1)) * normal(random));
  if (mixes.size >= mostRemembered) mixes.clear();
  mixes.set(key, mix);
  return mix;
}
