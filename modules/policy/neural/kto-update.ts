import { chosenTensor, situationTensors } from "./batch.ts";
import { type ClassWeights, classWeights, type Judged } from "./classes.ts";
import { differentiate, evaluate, type Slicing } from "./gradients.ts";
import { divergences, entropies, ktoLoss, logProbabilities, ofChosen } from "./losses.ts";
import type { Network, Weights } from "./network.ts";
import { adam, clipped, norm } from "./optimiser.ts";
import type { NeuralState } from "./state.ts";

export interface KtoUpdateSettings {
  readonly beta: number;
  /** λ_D and λ_U. */
  readonly weights: ClassWeights;
  /**
   * Most that an experience counts, by the ratio of the odds that its choice has now to those that were logged. Without the ratio
   * what was seldom logged would gain in contexts where all outcomes are worse than usual, whatever it is worth.
   */
  readonly greatestWeight: number;
  readonly learningRate: number;
  readonly longestGradient: number;
}

export interface KtoFigures {
  readonly loss: number;
  /** Mean entropy of the policy, nats. */
  readonly entropy: number;
  /** z₀: mean KL(π‖π_ref), nats. */
  readonly kl: number;
  /** Before clipping. */
  readonly gradient_norm: number;
}

const encoded = ({ situation: { context, candidates, ids }, chosen, probability, desirable }: Judged) => ({
  situation: { context, candidates, ids },
  chosen,
  probability,
  desirable,
});
type Drawn = ReturnType<typeof encoded>;

/**
 * One step of Adam down KTO's loss on one batch with both classes.
 * @param reference weights of the frozen policy that it is measured against
 */
export async function ktoUpdate(
  slicing: Slicing,
  network: Network,
  state: NeuralState,
  reference: Weights,
  drawn: readonly Judged[],
  settings: KtoUpdateSettings,
): Promise<{ state: NeuralState; figures: KtoFigures }> {
  const { tf } = slicing;
  const { weights, moments } = state;
  // Encoded once for all that follows.
  const batch = drawn.map(encoded);
  const tensorsOf = (slice: readonly Drawn[]) => {
    const tensors = situationTensors(
      tf,
      slicing.spec,
      slice.map(({ situation }) => situation),
    );
    const positions = slice.map(({ chosen }) => chosen);
    return { ...tensors, chosen: chosenTensor(tf, positions, tensors.candidates) };
  };

  // z₀ is a constant of the loss and belongs to the whole batch: it is measured before.
  const measured = await evaluate(slicing, [weights, reference], batch, ([current = [], frozen = []], slice) => {
    const tensors = tensorsOf(slice);
    const logs = logProbabilities(tf, network.graph(tf, current, tensors), tensors.padding);
    const referenceLogs = logProbabilities(tf, network.graph(tf, frozen, tensors), tensors.padding);
    return {
      divergence: divergences(tf, logs, referenceLogs),
      entropy: entropies(tf, logs),
      chosen: ofChosen(tf, logs, tensors.chosen),
      reference: ofChosen(tf, referenceLogs, tensors.chosen),
    };
  });
  const referencePoint = Math.max(0, mean(measured.divergence));
  const desirable = batch.filter((decision) => decision.desirable).length;
  const classes = classWeights(desirable, batch.length - desirable, settings.weights);

  const lambdas = batch.map(({ desirable: isGood, probability }, index) => {
    const importance = Math.min(settings.greatestWeight, Math.exp(measured.chosen[index] as number) / probability);
    return importance * (isGood ? classes.desirable : classes.undesirable);
  });

  const { loss, gradients } = await differentiate(slicing, weights, batch, (current, slice, start) => {
    const tensors = tensorsOf(slice);
    const logs = logProbabilities(tf, network.graph(tf, current, tensors), tensors.padding);
    return ktoLoss(tf, logs, {
      chosen: tensors.chosen,
      reference: tf.tensor1d(measured.reference.slice(start, start + slice.length)),
      signs: tf.tensor1d(slice.map((decision) => (decision.desirable ? 1 : -1))),
      weights: tf.tensor1d(lambdas.slice(start, start + slice.length)),
      referencePoint,
      beta: settings.beta,
    });
  });
  const next = adam(weights, clipped(gradients, settings.longestGradient), moments, settings.learningRate);
  return {
    state: { ...state, ...next },
    figures: { loss, entropy: mean(measured.entropy), kl: referencePoint, gradient_norm: norm(gradients) },
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
