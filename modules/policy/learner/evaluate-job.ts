/** What a policy would have been worth on the logged choices of others. */
import { kinds, unknownPolicy } from "../policies/kinds.ts";
import type { Policy } from "../policies/policy.ts";
import type { Logged } from "./experience.ts";
import type { EvaluateJob } from "./messages.ts";

export interface Evaluation {
  readonly outcomes: number;
  readonly decision: { readonly promote: boolean; readonly reason: string };
  readonly [figure: string]: unknown;
}

export function evaluateJob({ policy: name, options, state }: EvaluateJob, outcomes: readonly Logged[]): Evaluation {
  const kind = kinds[name];
  if (kind === undefined) throw unknownPolicy(name);
  const policy: Policy = state === undefined ? kind.create(options) : kind.load(state, options);
  const rest = state === undefined ? practise(policy, outcomes) : outcomes;
  const gains = rest.map((logged) => {
    const target = policy.odds(logged.situation).probabilities[logged.chosen] ?? 0;
    if (state === undefined) policy.observe?.(logged);
    return Math.min(20, target / logged.probability) * logged.reward - logged.reward;
  });
  const mean = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
  const deviation = Math.sqrt(gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0) / gains.length ** 2);
  const promote = gains.length >= 500 && mean - 1.96 * deviation > 0;
  return {
    outcomes: gains.length,
    decision: { promote, reason: promote ? "better" : gains.length < 500 ? "not enough data" : "not better" },
  };
}

/** Learns from the first half. @returns the second */
function practise(policy: Policy, outcomes: readonly Logged[]): readonly Logged[] {
  const half = Math.floor(outcomes.length / 2);
  for (const logged of outcomes.slice(0, half)) policy.observe?.(logged);
  return outcomes.slice(half);
}
