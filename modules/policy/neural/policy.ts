import { createHash } from "node:crypto";
import type { Odds, Policy, PolicyOptions, Situation } from "../policies/policy.ts";
import { softmax } from "./arithmetic.ts";
import { networkOf, type Parameter } from "./network.ts";
import { type NeuralState, saveState } from "./state.ts";

/** What distinguishes one trained policy from another. */
export interface Serving {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  /** Share of the odds that is spread over all candidates alike, so that each can still be observed. */
  readonly exploration: number;
}

/** Serves what was trained, in plain code: the odds are softmax of the logits, mixed with exploration. */
export function neuralPolicy({ name, parameters, exploration }: Serving, state: NeuralState, { spec }: PolicyOptions): Policy {
  const network = networkOf(state.architecture, spec);
  const weights = state.weights.slice(0, network.parameters.length);
  const logitsOf = (situation: Situation) => network.score(weights, situation);
  return {
    name,
    version: versionOf(state),
    odds(situation): Odds {
      const logits = logitsOf(situation);
      const probabilities = softmax(logits).map((probability) => (1 - exploration) * probability + exploration / logits.length);
      return {
        probabilities,
        scores: Array.from(logits),
        reason: (index) => reasonOf(situation, index, probabilities),
      };
    },
    save: () => saveState(name, spec.version, parameters, state),
  };
}

const versionOf = ({ weights, moments }: NeuralState): string => {
  const hash = createHash("sha256");
  for (const { buffer, byteOffset, byteLength } of weights) hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  return `${moments.updates}-${hash.digest("hex").slice(0, 12)}`;
};

function reasonOf({ ids }: Situation, index: number, probabilities: readonly number[]): string {
  const percent = (position: number) => `${(100 * (probabilities[position] ?? 0)).toFixed(1)} %`;
  const others = probabilities.map((_, position) => position).filter((position) => position !== index);
  const rival = others.toSorted((left, right) => (probabilities[right] ?? 0) - (probabilities[left] ?? 0))[0];
  return rival === undefined ? "the only candidate" : `${percent(index)} by the trained network, ${ids[rival]} ${percent(rival)}`;
}
