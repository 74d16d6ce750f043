/**
 * A perceptron over the context and one candidate at a time, of the others unaware. Its first layer takes both and their
 * learned products, h = rectify(Wc·c + Wa·a + b + (Uc·c) ⊙ (Ua·a)), since what makes a candidate good is mostly that it suits
 * the context. What has learned nothing gives equal odds.
 */
import type * as TensorFlow from "@tensorflow/tfjs-core";
import type { FeatureSpec } from "../features/spec.ts";
import { rectify, sparseAffine } from "./arithmetic.ts";
import { multiply } from "./multiply.ts";
import { type Network, unitMatrix, zeros } from "./network.ts";
import { perceptron } from "./perceptron.ts";

type Matrices<Each> = readonly [Each, Each, Each, Each];

/** @param layers of so many numbers each */
export function mlp(spec: FeatureSpec, { width: first, layers }: { readonly width: number; readonly layers: number }): Network {
  const rest = new Array<number>(layers - 1).fill(first);
  const joint = [
    unitMatrix("context", spec.context, first),
    unitMatrix("candidate", spec.candidate, first),
    unitMatrix("context factor", spec.context, first),
    unitMatrix("candidate factor", spec.candidate, first),
    zeros("joint bias", first),
  ];
  const logit = perceptron("logit", first, rest, false);
  const noBias = new Float32Array(first);
  return {
    parameters: [...joint, ...logit.parameters],
    score(weights, { context, candidates }) {
      const [ofContext, ofCandidate, contextFactor, candidateFactor] = weights as unknown as Matrices<Float32Array>;
      const upper = weights.slice(joint.length);
      const shared = sparseAffine(context, ofContext, weights[4] as Float32Array);
      const factors = sparseAffine(context, contextFactor, noBias);
      return Float32Array.from(candidates, (candidate) => {
        const values = sparseAffine(candidate, ofCandidate, shared);
        const products = sparseAffine(candidate, candidateFactor, noBias);
        for (let index = 0; index < first; index++) {
          values[index] = (values[index] as number) + (factors[index] as number) * (products[index] as number);
        }
        return logit.evaluate(upper, rectify(values));
      });
    },
    graph(tf, weights, { contexts, features, situations, candidates }) {
      const [ofContext, ofCandidate, contextFactor, candidateFactor] = weights as unknown as Matrices<TensorFlow.Tensor2D>;
      const once = (matrix: TensorFlow.Tensor2D) => tf.reshape(multiply(tf, contexts, matrix), [situations, 1, first]);
      const each = (matrix: TensorFlow.Tensor2D) => tf.reshape(multiply(tf, features, matrix), [situations, candidates, first]);
      const sums = tf.add(tf.add(once(ofContext), each(ofCandidate)), weights[4] as TensorFlow.Tensor);
      const values = tf.relu(tf.add(sums, tf.mul(once(contextFactor), each(candidateFactor))));
      const logits = logit.graph(tf, weights.slice(joint.length), tf.reshape(values, [situations * candidates, first]));
      return tf.reshape(logits, [situations, candidates]);
    },
  };
}
