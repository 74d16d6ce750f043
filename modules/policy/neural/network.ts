/**
 * What a network is: parameters, and the same function twice. `score` is plain code that serves in the event loop, `graph` is
 * built of TensorFlow's operations, which know their gradients. test/unit/neural-network.test.ts holds them equal.
 */
import type * as TensorFlow from "@tensorflow/tfjs-core";
import { normal, seededRandom } from "../chance.ts";
import type { FeatureSpec } from "../features/spec.ts";
import type { Situation } from "../policies/policy.ts";
import type { Architecture } from "./architecture.ts";
import type { SituationTensors } from "./batch.ts";
import { mlp } from "./mlp.ts";
import { transformer } from "./transformer.ts";

export type Tf = typeof TensorFlow;

export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** Mean of the initial values. */
  readonly start: number;
  /** Standard deviation of the initial values. */
  readonly spread: number;
}

/** One vector a parameter, in the order of the parameters; matrices row by row, inputs down and outputs across. */
export type Weights = readonly Float32Array[];

export interface Network {
  readonly parameters: readonly Parameter[];
  /** One logit a candidate. */
  score(weights: Weights, situation: Situation): Float32Array;
  /** Logits [situations, most candidates]; those of padding have no meaning. */
  graph(tf: Tf, weights: readonly TensorFlow.Tensor[], batch: SituationTensors): TensorFlow.Tensor2D;
}

export function networkOf(architecture: Architecture, spec: FeatureSpec): Network {
  return architecture.kind === "mlp" ? mlp(spec, architecture) : transformer(spec, architecture);
}

export function initialWeights(parameters: readonly Parameter[], seed: number): Weights {
  const random = seededRandom(seed);
  return parameters.map(({ shape, start, spread }) =>
    new Float32Array(sizeOf(shape)).map(() => (spread === 0 ? start : start + spread * normal(random))),
  );
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/**
 * What is read from a network is this many times its last sum. A step of Adam is as long as its rate, whatever the gradient; with
 * the usual rate, and hundreds of outcomes instead of millions, odds would hardly move.
 */
export const outputScale = 10;

/** For inputs that vary by 1 each: the outputs vary as much (Glorot and Bengio 2010). */
export const matrix = (name: string, inputs: number, outputs: number): Parameter => ({
  name,
  shape: [inputs, outputs],
  start: 0,
  spread: Math.sqrt(1 / inputs),
});

/** For encoded features, which are about 1 long together, whatever their dimensions. */
export const unitMatrix = (name: string, inputs: number, outputs: number): Parameter => ({
  name,
  shape: [inputs, outputs],
  start: 0,
  spread: 1,
});

export const zeros = (name: string, ...shape: readonly number[]): Parameter => ({ name, shape, start: 0, spread: 0 });
export const ones = (name: string, ...shape: readonly number[]): Parameter => ({ name, shape, start: 1, spread: 0 });
