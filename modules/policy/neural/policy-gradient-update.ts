import type { Trajectory } from "../trajectories.ts";
import { generalisedAdvantages, normalised } from "./advantages.ts";
import { softmax } from "./arithmetic.ts";
import { chosenTensor, situationTensors } from "./batch.ts";
import { differentiate, type Slicing } from "./gradients.ts";
import { logProbabilities, policyGradientLoss } from "./losses.ts";
import type { Network } from "./network.ts";
import { adam, clipped, norm } from "./optimiser.ts";
import type { Perceptron } from "./perceptron.ts";
import type { NeuralState } from "./state.ts";

export interface PolicyGradientSettings {
  /** γ */
  readonly discount: number;
  /** λ of the advantages. */
  readonly trace: number;
  /** c_H, in standard deviations of the advantage per nat. */
  readonly entropyBonus: number;
  /** Beyond which the weight of a step is clipped. */
  readonly greatestWeight: number;
  readonly learningRate: number;
  /** Of the network's gradient, and of the baseline's. */
  readonly longestGradient: number;
}

export interface PolicyGradientFigures {
  readonly loss: number;
  /** Mean entropy of the policy, nats. */
  readonly entropy: number;
  /** Of the network and the baseline together, before clipping. */
  readonly gradient_norm: number;
  /** How many steps of its own those of the batch are worth: (Σw)² / Σw². */
  readonly effective_batch: number;
}

/**
 * One step of Adam by REINFORCE on trajectories that any policy drew, whose odds are known: each step counts by the ratio of the odds
 * that the policy gives it now to those that it was drawn with. The weights are the network's, then the baseline's.
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
  const [own, baselines] = split(weights, network.parameters.length);
  const steps = trajectories.flat();
  const odds = steps.map(({ situation }) => softmax(network.score(own, situation)));
  const ratios = steps.map(({ chosen, probability }, index) => (odds[index]?.[chosen] as number) / probability);
  const counts = ratios.map((ratio) => Math.min(settings.greatestWeight, ratio));
  const laid = {
    rewards: steps.map(({ reward }) => reward),
    values: steps.map(({ situation }) => baseline.evaluate(baselines, situation.context)),
    ends: trajectories.flatMap((trajectory) => trajectory.map((_, index) => index === trajectory.length - 1)),
    ratios,
  };
  const { advantages, returns } = generalisedAdvantages(laid, settings.discount, settings.trace);
  const scaled = normalised(advantages, counts);

  const { loss, gradients } = await differentiate(slicing, weights, steps, (current, slice, start) => {
    const tensors = situationTensors(
      tf,
      spec,
      slice.map(({ situation }) => situation),
    );
    const [scoring, predicting] = split(current, network.parameters.length);
    const logs = logProbabilities(tf, network.graph(tf, scoring, tensors), tensors.padding);
    const predicted = baseline.graph(tf, predicting, tensors.contexts);
    const part = (numbers: ArrayLike<number>) => tf.tensor1d(Float32Array.from(numbers).subarray(start, start + slice.length));
    const chosen = slice.map((step) => step.chosen);
    return policyGradientLoss(tf, logs, tf.reshape(predicted, [slice.length]), {
      chosen: chosenTensor(tf, chosen, tensors.candidates),
      weights: part(counts),
      advantages: part(scaled),
      returns: part(returns),
      entropyBonus: settings.entropyBonus,
    });
  });
  // Apart, so that a baseline that is far off does not hold the network back.
  const apart = split(gradients, network.parameters.length).flatMap((some) => clipped(some, settings.longestGradient));
  const next = adam(weights, apart, moments, settings.learningRate);
  const entropyOf = (row: readonly number[]) => -sum(row.map((share) => (share === 0 ? 0 : share * Math.log(share))));
  return {
    state: { ...state, ...next },
    figures: {
      loss,
      entropy: sum(odds.map(entropyOf)) / steps.length,
      gradient_norm: norm(gradients),
      effective_batch: sum(counts) === 0 ? 0 : sum(counts) ** 2 / sum(counts.map((count) => count ** 2)),
    },
  };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

const split = <Each>(all: readonly Each[], at: number): [Each[], Each[]] => [all.slice(0, at), all.slice(at)];
