/** Adam (Kingma and Ba 2014, arXiv 1412.6980) and clipping in plain code: the moments can be saved, and the bits do not depend on a backend. */
import type { Parameter, Weights } from "./network.ts";
import { sizeOf } from "./network.ts";

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
  const blend = (decay: number, old: Weights, news: (gradient: number) => number) =>
    old.map((vector, at) =>
      vector.map((value, index) => decay * value + (1 - decay) * news((gradients[at] as Float32Array)[index] as number)),
    );
  const first = blend(firstDecay, moments.first, (gradient) => gradient);
  const second = blend(secondDecay, moments.second, (gradient) => gradient ** 2);
  const rate = (learningRate * Math.sqrt(1 - secondDecay ** updates)) / (1 - firstDecay ** updates);
  const moved = weights.map((vector, at) => {
    const [mean, variance] = [first[at], second[at]] as [Float32Array, Float32Array];
    return vector.map((value, index) => value - (rate * (mean[index] as number)) / (Math.sqrt(variance[index] as number) + stability));
  });
  return { weights: moved, moments: { updates, first, second } };
}

/** Euclidean length of all gradients together. */
export const norm = (gradients: Weights): number =>
  Math.sqrt(gradients.reduce((sum, vector) => vector.reduce((inner, value) => inner + value * value, sum), 0));

/** Scaled down to this length where they are longer. */
export function clipped(gradients: Weights, longest: number): Weights {
  const length = norm(gradients);
  return length <= longest ? gradients : gradients.map((vector) => vector.map((value) => (value * longest) / length));
}
