/** From the texts of the ledger to what policies learn from: encoded by the present feature spec. */
import { encode } from "../features/encode.ts";
import type { FeatureSpec } from "../features/spec.ts";
import type { Experience } from "../policies/policy.ts";
import type { Selected } from "../schema.ts";
import type { OutcomeText } from "./messages.ts";

export interface Logged extends Experience {
  readonly ordinal: number;
  /** Which deployment chose. */
  readonly deployment: string;
}

export function experienceOf(spec: FeatureSpec, { selected: text, reward, ordinal }: OutcomeText): Logged {
  const selected: Selected = JSON.parse(text);
  const { context, candidates, choice, probability, policy, deployment = policy, episode } = selected;
  return {
    situation: encode(spec, context, candidates),
    chosen: candidates.findIndex(({ id }) => id === choice),
    probability,
    reward,
    ordinal,
    deployment,
    ...(episode && { episode }),
  };
}
