/** What a policy would have been worth on the logged choices of others, beside the serving one. */
import { type Evaluation as Estimates, evaluateOffPolicy, type Judged } from "../evaluation/off-policy.ts";
import { decidePromotion, type PromotionDecision } from "../evaluation/promotion.ts";
import { kinds, unknownPolicy } from "../policies/kinds.ts";
import type { Policy, PolicyOptions } from "../policies/policy.ts";
import { trajectoriesOf } from "../trajectories.ts";
import type { Logged } from "./experience.ts";
import type { EvaluateJob, PolicyState } from "./messages.ts";

export interface Evaluation extends Partial<Estimates> {
  readonly outcomes: number;
  readonly decision: Omit<PromotionDecision, "bound"> & { readonly bound?: number };
}

const tooFew: Evaluation["decision"] = { promote: false, reason: "not enough data" };
/** Trajectories. */
const leastEstimated = 20;

/**
 * Policies that learn as they go do so here too: outcome by outcome, each judged by what it knew before.
 * @param outcomes in order; those up to `after` are not judged
 */
export function evaluateJob({ policy, serving, options, after }: EvaluateJob, outcomes: readonly Logged[]): Evaluation {
  const contenders = [open(policy, options), open(serving, options)] as const;
  const judged: Judged[] = [];
  for (const logged of outcomes) {
    if (logged.ordinal > after) {
      const [odds, present] = contenders.map((one) => one.odds(logged.situation).probabilities) as [readonly number[], readonly number[]];
      judged.push({ ...logged, odds, serving: present });
    }
    for (const one of contenders) one.observe?.(logged);
  }
  const { complete } = trajectoriesOf(judged);
  if (complete.length < leastEstimated) return { outcomes: judged.length, decision: tooFew };
  const estimates = evaluateOffPolicy(complete.flat(), options);
  return { ...estimates, decision: decidePromotion(estimates) };
}

function open({ policy, state }: PolicyState, options: PolicyOptions): Policy {
  const kind = kinds[policy];
  if (kind === undefined) throw unknownPolicy(policy);
  return state === undefined ? kind.create(options) : kind.load(state, options);
}
