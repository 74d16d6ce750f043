/**
 * Losses and their gradients over more decisions than are worth computing at once: slice by slice, with a turn of the event loop
 * between, so that the thread stays responsive and the work can be cancelled.
 */
import { setImmediate as turn } from "node:timers/promises";
import type * as TensorFlow from "@tensorflow/tfjs-core";
import type { FeatureSpec } from "../features/spec.ts";
import type { Architecture } from "./architecture.ts";
import type { Parameter, Tf, Weights } from "./network.ts";

export interface Differentiated {
  readonly loss: number;
  /** d loss / d parameter. */
  readonly gradients: Weights;
}

/** What one slice is computed with. */
export interface Slicing {
  readonly tf: Tf;
  readonly spec: FeatureSpec;
  readonly parameters: readonly Parameter[];
  /** Decisions computed at once. */
  readonly size: number;
  readonly signal?: AbortSignal | undefined;
}

/** So many that a slice of choices among some ten candidates takes some ten milliseconds, with gradients. */
export const sliceSize = (architecture: Architecture): number => (architecture.kind === "mlp" ? 64 : 4);

/**
 * The mean over all decisions of a loss that is a mean over a slice's decisions, and its gradient.
 *
 * @throws the signal's reason, once it is aborted
 */
export async function differentiate<Decision>(
  slicing: Slicing,
  weights: Weights,
  decisions: readonly Decision[],
  loss: (weights: TensorFlow.Tensor[], slice: readonly Decision[], start: number) => TensorFlow.Scalar,
): Promise<Differentiated> {
  const { tf } = slicing;
  const sums = weights.map(({ length }) => new Float64Array(length));
  let total = 0;
  await forEachSlice(slicing, decisions, (slice, start) => {
    const share = slice.length / decisions.length;
    tf.tidy(() => {
      const graph = (...tensors: TensorFlow.Tensor[]) => loss(tensors, slice, start);
      const { value, grads } = tf.valueAndGrads(graph)(weightTensors(slicing, weights));
      total += share * (value.dataSync()[0] as number);
      for (const [at, gradient] of grads.entries()) {
        const sum = sums[at] as Float64Array;
        const values = gradient.dataSync();
        for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] as number) + share * (values[index] as number);
      }
    });
  });
  return { loss: total, gradients: sums.map((sum) => Float32Array.from(sum)) };
}

/**
 * Numbers of each decision, [B] tensors of the slices laid end to end.
 *
 * @throws the signal's reason, once it is aborted
 */
export async function evaluate<Decision, Names extends string>(
  slicing: Slicing,
  weights: readonly Weights[],
  decisions: readonly Decision[],
  measure: (weights: readonly TensorFlow.Tensor[][], slice: readonly Decision[]) => Record<Names, TensorFlow.Tensor1D>,
): Promise<Record<Names, number[]>> {
  const { tf } = slicing;
  const all = {} as Record<Names, number[]>;
  await forEachSlice(slicing, decisions, (slice) => {
    tf.tidy(() => {
      const measured = measure(
        weights.map((each) => weightTensors(slicing, each)),
        slice,
      );
      for (const [name, tensor] of Object.entries(measured) as [Names, TensorFlow.Tensor1D][]) {
        all[name] ??= [];
        all[name].push(...tensor.dataSync());
      }
    });
  });
  return all;
}

async function forEachSlice<Decision>(
  { size, signal }: Slicing,
  decisions: readonly Decision[],
  handle: (slice: readonly Decision[], start: number) => void,
): Promise<void> {
  for (let start = 0; start < decisions.length; start += size) {
    await turn();
    signal?.throwIfAborted();
    handle(decisions.slice(start, start + size), start);
  }
}

const weightTensors = ({ tf, parameters }: Slicing, weights: Weights): TensorFlow.Tensor[] =>
  parameters.map(({ shape }, at) => tf.tensor(weights[at] as Float32Array, [...shape]));
