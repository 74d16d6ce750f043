/** What one logged trajectory says about a policy that might have drawn it. */
import type { Trajectory } from "../trajectories.ts";
import type { Judged } from "./off-policy.ts";

/** A trajectory with what a model, which never saw it, expects from each of its steps to the end, if each candidate were chosen. */
export interface Expected {
  readonly steps: Trajectory<Judged>;
  /** [step][candidate] */
  readonly returns: readonly (readonly number[])[];
}

/** Odds of the candidates of a step. */
export type OddsOf = (step: Judged) => readonly number[];

/** How much more likely the policy is to go so far than who drew: Π ρ up to each step. */
export function weightsOf(steps: Trajectory<Judged>, oddsOf: OddsOf): number[] {
  let weight = 1;
  return steps.map((step) => {
    weight *= (oddsOf(step)[step.chosen] as number) / step.probability;
    return weight;
  });
}

/** Sum of the rewards. */
export const returnOf = (steps: Trajectory<Judged>): number => steps.reduce((sum, { reward }) => sum + reward, 0);

/**
 * Per-decision importance sampling (Precup et al. 2000): each reward by the weight of the steps up to it.
 * @param clip greatest weight that counts
 */
export function weightedReturn(steps: Trajectory<Judged>, oddsOf: OddsOf, clip: number): number {
  const weights = weightsOf(steps, oddsOf);
  return steps.reduce((sum, { reward }, index) => sum + Math.min(clip, weights[index] as number) * reward, 0);
}

/**
 * Doubly robust (Jiang and Li 2016, arXiv 1511.03722): v̂_0 + Σ_t w_t (r_t + v̂_{t+1} − q̂_t), with v̂ the policy's mean of q̂ and 0 after
 * the end. Of a single choice Σ_a π_a q̂_a + w (r − q̂).
 * @param clip greatest weight that counts
 */
export function robustReturn({ steps, returns }: Expected, oddsOf: OddsOf, clip: number): number {
  const weights = weightsOf(steps, oddsOf);
  const values = steps.map((step, index) =>
    oddsOf(step).reduce((sum, probability, position) => sum + probability * (returns[index]?.[position] as number), 0),
  );
  return steps.reduce(
    (sum, { reward, chosen }, index) =>
      sum + Math.min(clip, weights[index] as number) * (reward + (values[index + 1] ?? 0) - (returns[index]?.[chosen] as number)),
    values[0] as number,
  );
}
