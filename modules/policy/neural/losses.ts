/** The losses as TensorFlow graphs, as means over the decisions of a batch. Padding has log-probability −10⁹ and probability 0. */
import type * as TensorFlow from "@tensorflow/tfjs-core";
import type { Tf } from "./network.ts";

/** log π of each candidate: [B, K] from logits [B, K] and padding [B, K]. */
export const logProbabilities = (tf: Tf, logits: TensorFlow.Tensor2D, padding: TensorFlow.Tensor2D): TensorFlow.Tensor2D =>
  tf.logSoftmax(tf.add(logits, padding));

/** Of the chosen candidates: [B]. */
export const ofChosen = (tf: Tf, values: TensorFlow.Tensor2D, chosen: TensorFlow.Tensor2D): TensorFlow.Tensor1D =>
  tf.sum(tf.mul(values, chosen), 1);

/** Entropy of each decision in nats: [B]. */
export const entropies = (tf: Tf, logs: TensorFlow.Tensor2D): TensorFlow.Tensor1D => tf.neg(tf.sum(tf.mul(tf.exp(logs), logs), 1));

/** KL(π‖reference) of each decision in nats, exact over the candidates: [B]. */
export const divergences = (tf: Tf, logs: TensorFlow.Tensor2D, reference: TensorFlow.Tensor2D): TensorFlow.Tensor1D =>
  tf.sum(tf.mul(tf.exp(logs), tf.sub(logs, reference)), 1);

export interface KtoTargets {
  /** 1 at the chosen candidate: [B, K]. */
  readonly chosen: TensorFlow.Tensor2D;
  /** log π_ref of the chosen candidates: [B]. */
  readonly reference: TensorFlow.Tensor1D;
  /** +1 where the outcome was desirable, −1 where not: [B]. */
  readonly signs: TensorFlow.Tensor1D;
  /** λ_D or λ_U of each decision: [B]. */
  readonly weights: TensorFlow.Tensor1D;
  /** z₀, a constant: mean KL(π‖π_ref) of the batch, at least 0. */
  readonly referencePoint: number;
  readonly beta: number;
}

/** KTO (Ethayarajh et al. 2024, arXiv 2402.01306): λ_y − λ_y σ(±β (r − z₀)) with r = log π − log π_ref, the mean over the batch. */
export function ktoLoss(tf: Tf, logs: TensorFlow.Tensor2D, targets: KtoTargets): TensorFlow.Scalar {
  const { chosen, reference, signs, weights, referencePoint, beta } = targets;
  const advantage = tf.sub(tf.sub(ofChosen(tf, logs, chosen), reference), referencePoint);
  const value = tf.mul(weights, tf.sigmoid(tf.mul(tf.mul(signs, beta), advantage)));
  return tf.mean(tf.sub(weights, value));
}

export interface PolicyGradientTargets {
  /** 1 at the chosen candidate: [B, K]. */
  readonly chosen: TensorFlow.Tensor2D;
  /** Of the decisions, constants: [B]. */
  readonly weights: TensorFlow.Tensor1D;
  /** A: [B]. */
  readonly advantages: TensorFlow.Tensor1D;
  /** What V should have been: [B]. */
  readonly returns: TensorFlow.Tensor1D;
  /** c_H, in reward per nat. */
  readonly entropyBonus: number;
}

/**
 * REINFORCE with a baseline (Williams 1992) and an entropy bonus, plus the squared error of the baseline. Each decision counts by its
 * weight: with ρ, the mean over what another policy drew is that over what the policy would draw.
 *
 * @param values V of each situation: [B]
 */
export function policyGradientLoss(
  tf: Tf,
  logs: TensorFlow.Tensor2D,
  values: TensorFlow.Tensor1D,
  { chosen, weights, advantages, returns, entropyBonus }: PolicyGradientTargets,
): TensorFlow.Scalar {
  const policy = tf.neg(tf.mean(tf.mul(weights, tf.mul(ofChosen(tf, logs, chosen), advantages))));
  const entropy = tf.mul(entropyBonus, tf.mean(entropies(tf, logs)));
  const baseline = tf.mean(tf.mul(weights, tf.square(tf.sub(values, returns))));
  return tf.add(tf.sub(policy, entropy), baseline);
}
