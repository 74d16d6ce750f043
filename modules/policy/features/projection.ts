/** Fewer dimensions for vectors, so that their angles stay about the same: a random projection (Johnson and Lindenstrauss 1984). */
import { normal, seededRandom } from "../chance.ts";

const seed = 1984;
const mostRemembered = 8;
/** By length of the vectors and dimensions of the result. */
const projections = new Map<string, Float64Array>();

/** @returns a vector of length 1, of numbers with four decimals; zeros for zeros */
export function project(vector: readonly number[], dimensions: number): number[] {
  const projection = projectionOf(vector.length, dimensions);
  const sums = new Float64Array(dimensions);
  for (let from = 0; from < vector.length; from++) {
    const value = vector[from] as number;
    for (let to = 0; to < dimensions; to++) sums[to] = (sums[to] as number) + value * (projection[from * dimensions + to] as number);
  }
  const length = Math.hypot(...sums);
  return Array.from(sums, (sum) => (length === 0 ? 0 : Math.round((1e4 * sum) / length) / 1e4));
}

function projectionOf(length: number, dimensions: number): Float64Array {
  const key = `${length} ${dimensions}`;
  const known = projections.get(key);
  if (known !== undefined) return known;
  const random = seededRandom(seed);
  const made = Float64Array.from({ length: length * dimensions }, () => normal(random));
  if (projections.size >= mostRemembered) projections.clear();
  projections.set(key, made);
  return made;
}
