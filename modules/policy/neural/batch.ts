/** Situations of any size as tensors of one shape: padded to the most candidates among them. */
import type * as TensorFlow from "@tensorflow/tfjs-core";
import type { FeatureSpec } from "../features/spec.ts";
import type { Situation } from "../policies/policy.ts";
import type { Tf } from "./network.ts";

/** B situations, K = most candidates of one. */
export interface SituationTensors {
  readonly situations: number;
  readonly candidates: number;
  /** [B, context] */
  readonly contexts: TensorFlow.Tensor2D;
  /** [B · K, candidate] */
  readonly features: TensorFlow.Tensor2D;
  /** [B, K], 0 at candidates and −10⁹ at padding: added to logits it leaves padding no probability. */
  readonly padding: TensorFlow.Tensor2D;
}

const excluded = -1e9;

export function situationTensors(tf: Tf, spec: FeatureSpec, situations: readonly Omit<Situation, "rows">[]): SituationTensors {
  const most = Math.max(...situations.map(({ ids }) => ids.length));
  const padding = new Float32Array(situations.length * most).fill(excluded);
  for (const [index, { ids }] of situations.entries()) padding.fill(0, index * most, index * most + ids.length);
  const contexts = new Float32Array(situations.length * spec.context);
  const features = new Float32Array(situations.length * most * spec.candidate);
  for (const [index, { context, candidates }] of situations.entries()) {
    contexts.set(context, index * spec.context);
    for (const [position, vector] of candidates.entries()) features.set(vector, (index * most + position) * spec.candidate);
  }
  return {
    situations: situations.length,
    candidates: most,
    contexts: tf.tensor2d(contexts, [situations.length, spec.context]),
    features: tf.tensor2d(features, [situations.length * most, spec.candidate]),
    padding: tf.tensor2d(padding, [situations.length, most]),
  };
}

/** 1 at each situation's chosen candidate: [B, K]. Taking by position has no gradient on wasm, multiplying has. */
export function chosenTensor(tf: Tf, chosen: readonly number[], candidates: number): TensorFlow.Tensor2D {
  const values = new Float32Array(chosen.length * candidates);
  for (const [index, position] of chosen.entries()) values[index * candidates + position] = 1;
  return tf.tensor2d(values, [chosen.length, candidates]);
}
