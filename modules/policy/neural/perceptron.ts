import type * as TensorFlow from "@tensorflow/tfjs-core";
import { dot, rectify, sparseAffine } from "./arithmetic.ts";
import { multiply } from "./multiply.ts";
import { matrix, outputScale, type Parameter, type Tf, type Weights, zeros } from "./network.ts";

/** A function of one vector to one number: rectified layers, then a weighted sum. */
export interface Perceptron {
  readonly parameters: readonly Parameter[];
  evaluate(weights: Weights, input: Float32Array): number;
  /** @param inputs [N, inputs] @returns [N, 1] */
  graph(tf: Tf, weights: readonly TensorFlow.Tensor[], inputs: TensorFlow.Tensor2D): TensorFlow.Tensor2D;
}

/**
 * The last weights begin at zero: what has learned nothing answers 0 to everything.
 *
 * @param name of what it computes, for its parameters
 * @param bias whether a constant is added at the end; a logit needs none, since softmax cancels it
 */
export function perceptron(name: string, inputs: number, hidden: readonly number[], bias: boolean): Perceptron {
  const sizes = [inputs, ...hidden];
  const layers = hidden.flatMap((outputs, index) => [
    matrix(`${name} ${index}`, sizes[index] as number, outputs),
    zeros(`${name} ${index} bias`, outputs),
  ]);
  const last = [zeros(`${name} out`, sizes.at(-1) as number, 1), ...(bias ? [zeros(`${name} out bias`, 1)] : [])];
  return {
    parameters: [...layers, ...last],
    evaluate(weights, input) {
      let values = input;
      for (let layer = 0; layer < hidden.length; layer++) {
        values = rectify(sparseAffine(values, weights[2 * layer] as Float32Array, weights[2 * layer + 1] as Float32Array));
      }
      const [out, constant] = weights.slice(2 * hidden.length) as [Float32Array, Float32Array];
      return outputScale * (dot(values, out) + (bias ? (constant[0] as number) : 0));
    },
    graph(tf, weights, inputs) {
      let values: TensorFlow.Tensor2D = inputs;
      for (let layer = 0; layer < hidden.length; layer++) {
        const [matrix, shift] = weights.slice(2 * layer) as [TensorFlow.Tensor2D, TensorFlow.Tensor1D];
        values = tf.relu(tf.add(multiply(tf, values, matrix), shift));
      }
      const [out, constant] = weights.slice(2 * hidden.length) as [TensorFlow.Tensor2D, TensorFlow.Tensor1D];
      const sums: TensorFlow.Tensor2D = multiply(tf, values, out);
      return tf.mul(bias ? tf.add(sums, constant) : sums, outputScale);
    },
  };
}
