/** Adam (Kingma and Ba 2014, arXiv 1412.6980) and clipping in plain code: the moments can be saved, and the bits do not depend on a backend. */
import { dot } from "./arithmetic.ts";
import { type Parameter, sizeOf, type Weights } from "./network.ts";

export interface Moments {
  /** Updates so far. */
  readonly updates: number;
  readonly first: Weights;
  readonly second: Weights;
}

const firstDecay = 0.9;
const secondDecay = 0.999;
const stability = 1e-8;

export function noMoments(parameters: readonly Parameter[]): Moments {
  const empty = () => parameters.map(({ shape }) => new Float32Array(sizeOf(shape)));
  return { updates: 0, first: empty(), second: empty() };
}

/** One update; what it is given stays as it is. */
export function adam(weights: Weights, gradients: Weights, moments: Moments, learningRate: number): { weights: Weights; moments: Moments } {
  const updates = moments.updates + 1;
  const rate = (learningRate * Math.sqrt(1 - secondDecay ** updates)) / (1 - firstDecay ** updates);
  const next = { weights: copies(weights), first: copies(moments.first), second: copies(moments.second) };
  for (const [at, gradient] of gradients.entries()) {
    const [moved, mean, square] = [next.weights[at], next.first[at], next.second[at]] as [Float32Array, Float32Array, Float32Array];
    for (let index = 0; index < gradient.length; index++) {
      const slope = gradient[index] as number;
      mean[index] = firstDecay * (mean[index] as number) + (1 - firstDecay) * slope;
      square[index] = secondDecay * (square[index] as number) + (1 - secondDecay) * slope * slope;
      moved[index] = (moved[index] as number) - (rate * (mean[index] as number)) / (Math.sqrt(square[index] as number) + stability);
    }
  }
  return { weights: next.weights, moments: { updates, first: next.first, second: next.second } };
}

const copies = (vectors: Weights): Weights => vectors.map((vector) => vector.slice());

/** Euclidean length of all gradients together. */
export const norm = (gradients: Weights): number => Math.sqrt(gradients.reduce((sum, vector) => sum + dot(vector, vector), 0));

/** Scaled down to this length where they are longer. */
export function clipped(gradients: Weights, longest: number): Weights {
  const length = norm(gradients);
  return length <= longest ? gradients : gradients.map((vector) => vector.map((value) => (value * longest) / length));
}
