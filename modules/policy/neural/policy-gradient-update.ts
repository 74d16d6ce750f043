import { generalisedAdvantages, normalised } from "./advantages.ts";
import { chosenTensor, situationTensors } from "./batch.ts";
import { differentiate, evaluate, type Slicing } from "./gradients.ts";
import { divergences, entropies, logProbabilities, policyGradientLoss } from "./losses.ts";
import type { Network } from "./network.ts";
import { adam, clipped, norm } from "./optimiser.ts";
import type { Perceptron } from "./perceptron.ts";
import type { NeuralState } from "./state.ts";
import type { Trajectory } from "./trajectories.ts";

export interface PolicyGradientSettings {
  /** γ */
  readonly discount: number;
  /** λ of the advantages. */
  readonly trace: number;
  /** c_H, in reward per nat. */
  readonly entropyBonus: number;
  readonly learningRate: number;
  readonly longestGradient: number;
}

export interface PolicyGradientFigures {
  readonly loss: number;
  /** Mean entropy of the policy before the update, nats. */
  readonly entropy: number;
  /** Mean KL(before‖after) over the situations of the batch, nats. */
  readonly kl: number;
  /** Before clipping. */
  readonly gradient_norm: number;
  /** Mean undiscounted reward of a trajectory. */
  readonly mean_return: number;
}

/**
 * One step of Adam by REINFORCE on trajectories that the policy of this state drew. The weights are the network's, then the
 * baseline's.
 */
export async function policyGradientUpdate(
  slicing: Slicing,
  network: Network,
  baseline: Perceptron,
  state: NeuralState,
  trajectories: readonly Trajectory[],
  settings: PolicyGradientSettings,
): Promise<{ state: NeuralState; figures: PolicyGradientFigures }> {
  const { tf, spec } = slicing;
  const { weights, moments } = state;
  const steps = trajectories.flat();
  const rewards = steps.map(({ reward }) => reward);
  const ends = trajectories.flatMap((trajectory) => trajectory.map((_, index) => index === trajectory.length - 1));
  const values = steps.map(({ situation }) => baseline.evaluate(weights.slice(network.parameters.length), situation.context));
  const { advantages, returns } = generalisedAdvantages(rewards, values, ends, settings.discount, settings.trace);
  const scaled = normalised(advantages);

  const tensorsOf = (slice: Trajectory) =>
    situationTensors(
      tf,
      spec,
      slice.map(({ situation }) => situation),
    );
  const { loss, gradients } = await differentiate(slicing, weights, steps, (current, slice, start) => {
    const tensors = tensorsOf(slice);
    const logs = logProbabilities(tf, network.graph(tf, current, tensors), tensors.padding);
    const predicted = baseline.graph(tf, current.slice(network.parameters.length), tensors.contexts);
    const chosen = slice.map((step) => step.chosen);
    return policyGradientLoss(tf, logs, tf.reshape(predicted, [slice.length]), {
      chosen: chosenTensor(tf, chosen, tensors.candidates),
      advantages: tf.tensor1d(Float32Array.from(scaled.subarray(start, start + slice.length))),
      returns: tf.tensor1d(Float32Array.from(returns.subarray(start, start + slice.length))),
      entropyBonus: settings.entropyBonus,
    });
  });
  const next = adam(weights, clipped(gradients, settings.longestGradient), moments, settings.learningRate);

  const measured = await evaluate(slicing, [weights, next.weights], steps, ([before = [], after = []], slice) => {
    const tensors = tensorsOf(slice);
    const logs = logProbabilities(tf, network.graph(tf, before, tensors), tensors.padding);
    const logsAfter = logProbabilities(tf, network.graph(tf, after, tensors), tensors.padding);
    return { entropy: entropies(tf, logs), kl: divergences(tf, logs, logsAfter) };
  });
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
  return {
    state: { ...state, ...next },
    figures: {
      loss,
      entropy: sum(measured.entropy) / steps.length,
      kl: sum(measured.kl) / steps.length,
      gradient_norm: norm(gradients),
      mean_return: sum(rewards) / trajectories.length,
    },
  };
}
