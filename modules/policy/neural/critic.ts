import type { FeatureSpec } from "../features/spec.ts";
import { unitMatrix } from "./network.ts";
import { type Perceptron, perceptron } from "./perceptron.ts";

const hidden = [32];

/** The baseline V(s): what return to expect of a context, whoever is chosen. */
export function critic(spec: FeatureSpec): Perceptron {
  const network = perceptron("value", spec.context, hidden, true);
  const [first, ...others] = network.parameters;
  return { ...network, parameters: [unitMatrix(first?.name ?? "", spec.context, hidden[0] ?? 0), ...others] };
}
