/** Randomness: the system's for choices that must not be foreseen, seeded for all that must come out the same again. */
import { randomInt } from "node:crypto";

/** Uniform in [0, 1). */
export type Random = () => number;

/** The index on whose share of [0, 1) the number falls. */
export function draw(probabilities: readonly number[], number: number): number {
  let sum = 0;
  const index = probabilities.findIndex((probability) => {
    sum += probability;
    return number < sum;
  });
  // Rounding may leave the sum just below 1.
  return index === -1 ? probabilities.findLastIndex((probability) => probability > 0) : index;
}

const finest = 2 ** 48 - 1;

/** Some 48 bits of the system's randomness, uniform in [0, 1). It is drawn from the system in bulk. */
export const systemRandom: Random = () => randomInt(finest) / finest;

/** The same numbers for the same seed: mulberry32, 32 bits of state. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One number of the standard normal distribution (Box and Muller 1958). */
export const normal = (random: Random): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** The same values in another order, each order equally likely (Fisher and Yates). */
export function shuffled<Value>(values: readonly Value[], random: Random): Value[] {
  const result = [...values];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other] as Value, result[last] as Value];
  }
  return result;
}
