import { randomBytes } from "node:crypto";

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

/** 48 bits of the system's randomness, uniform in [0, 1). */
export const systemRandom = () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48;
