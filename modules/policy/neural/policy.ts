import { createHash } from "node:crypto";
import { originOf } from "../features/encode.ts";
import { KnownValues } from "../policies/known-values.ts";
import type { Odds, Policy, PolicyOptions, Situation } from "../policies/policy.ts";
import { softmax } from "./arithmetic.ts";
import { networkOf, type Parameter } from "./network.ts";
import { tellReason } from "./reason.ts";
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
  const score = (situation: Situation) => network.score(weights, situation);
  const together = state.architecture.kind === "transformer";
  const known = new KnownValues();
  return {
    name,
    version: versionOf(state),
    odds(situation): Odds {
      const logits = score(situation);
      known.note(originOf(situation)?.context ?? {});
      const probabilities = softmax(logits).map((probability) => (1 - exploration) * probability + exploration / logits.length);
      return {
        probabilities,
        scores: Array.from(logits),
        reason: (index) => tellReason({ situation, probabilities, logits, together, score }, index, known),
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
