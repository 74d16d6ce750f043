import type * as TensorFlow from "@tensorflow/tfjs-core";
import type { Tf } from "./network.ts";

/**
 * Product of two matrices with a gradient of its own: TensorFlow's multiplies matrices that are turned on the fly, for which the
 * wasm backend has slow code only. Turned before, training is several times as fast.
 */
export function multiply(tf: Tf, left: TensorFlow.Tensor2D, right: TensorFlow.Tensor2D): TensorFlow.Tensor2D {
  const product = tf.customGrad((...inputs) => {
    const [first, second, save] = inputs as unknown as [TensorFlow.Tensor2D, TensorFlow.Tensor2D, TensorFlow.GradSaveFunc];
    save([first, second]);
    return {
      value: tf.matMul(first, second),
      gradFunc: (slope, saved) => {
        const [one, other] = saved as [TensorFlow.Tensor2D, TensorFlow.Tensor2D];
        const above = slope as TensorFlow.Tensor2D;
        return [tf.matMul(above, tf.transpose(other)), tf.matMul(tf.transpose(one), above)];
      },
    };
  });
  return product(left, right) as TensorFlow.Tensor2D;
}
