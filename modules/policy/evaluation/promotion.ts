import type { Evaluation } from "./off-policy.ts";

/** Joined outcomes that a promotion is decided on, at least. */
const leastOutcomes = 500;
/** Outcomes that these have to be worth: with fewer the bounds rest on a handful of lucky choices. */
const leastEffective = 50;

export interface PromotionDecision {
  readonly promote: boolean;
  readonly reason: "better" | "not better" | "not enough data";
  /** Lower 95 % bound of what the judged policy earns more than the serving one. */
  readonly bound: number;
}

/** What there is of what is needed, where the decision is "not enough data". */
export function sufficiencyOf({ outcomes, effective_sample_size: worth }: Pick<Evaluation, "outcomes"> & Partial<Evaluation>): string {
  const there = `there are ${outcomes} outcomes to judge it by`;
  if (outcomes < leastOutcomes) return `${there}, and ${leastOutcomes} are needed`;
  if (worth === undefined) return `${there}, and too few whole episodes among them`;
  return `${there}, which are worth ${Math.floor(worth)} of its own, and ${leastEffective} are needed`;
}

/** Whether the evaluation proves that the judged policy is better than the serving one (invariant 9). */
export function decidePromotion({ outcomes, effective_sample_size, gain }: Evaluation): PromotionDecision {
  const [bound] = gain.interval;
  if (outcomes < leastOutcomes || !(effective_sample_size >= leastEffective)) return { promote: false, reason: "not enough data", bound };
  const promote = bound > 0;
  return { promote, reason: promote ? "better" : "not better", bound };
}
