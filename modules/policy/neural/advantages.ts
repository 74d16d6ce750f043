/**
 * Generalised advantage estimation (Schulman et al. 2015, arXiv 1506.02438) over trajectories laid end to end, for steps that another
 * policy drew too: what came later counts by how likely the policy would have gone on so (V-trace, Espeholt et al. 2018, arXiv
 * 1802.01561). Where it drew them itself, all ratios are 1.
 */

export interface Advantages {
  /** A_t = δ_t + γ λ (1 − d_t) min(1, ρ_{t+1}) A_{t+1}, with δ_t = r_t + γ (1 − d_t) V_{t+1} − V_t. */
  readonly advantages: Float64Array;
  /** A_t + V_t: what the baseline should have said, were the step one of the policy's. */
  readonly returns: Float64Array;
}

export interface Laid {
  /** r_t */
  readonly rewards: readonly number[];
  /** V_t */
  readonly values: readonly number[];
  /** d_t: whether the trajectory ended with this step; true at the last one. */
  readonly ends: readonly boolean[];
  /** ρ_t: odds that the policy gives to what was chosen, by those that it had when it was. */
  readonly ratios: readonly number[];
}

/**
 * @param discount γ
 * @param trace λ
 */
export function generalisedAdvantages({ rewards, values, ends, ratios }: Laid, discount: number, trace: number): Advantages {
  const advantages = new Float64Array(rewards.length);
  let next = 0;
  for (let step = rewards.length - 1; step >= 0; step--) {
    const goesOn = ends[step] ? 0 : discount;
    const surprise = (rewards[step] as number) + goesOn * (values[step + 1] ?? 0) - (values[step] as number);
    next = surprise + goesOn * trace * Math.min(1, ratios[step + 1] ?? 1) * next;
    advantages[step] = next;
  }
  return { advantages, returns: advantages.map((advantage, step) => advantage + (values[step] as number)) };
}

/** Smaller deviations are not stretched to 1: where all steps were as good as each other, there is nothing to learn from noise. */
const leastDeviation = 0.01;

/** With weighted mean 0 and weighted standard deviation 1. @param weights none of them negative */
export function normalised(values: Float64Array, weights: readonly number[]): Float64Array {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return values.map(() => 0);
  const weightedMean = (numbers: Float64Array) =>
    numbers.reduce((sum, number, index) => sum + (weights[index] as number) * number, 0) / total;
  const mean = weightedMean(values);
  const deviation = Math.max(Math.sqrt(weightedMean(values.map((value) => (value - mean) ** 2))), leastDeviation);
  return values.map((value) => (value - mean) / deviation);
}
