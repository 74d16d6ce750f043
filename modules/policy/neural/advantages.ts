/** Generalised advantage estimation (Schulman et al. 2015, arXiv 1506.02438) over trajectories laid end to end. */

export interface Advantages {
  /** A_t = δ_t + γ λ (1 − d_t) A_{t+1}, with δ_t = r_t + γ (1 − d_t) V_{t+1} − V_t. */
  readonly advantages: Float64Array;
  /** A_t + V_t: what the baseline should have said. */
  readonly returns: Float64Array;
}

/**
 * @param rewards r_t
 * @param values V_t
 * @param ends d_t: whether the trajectory ended with this step; true at the last one
 * @param discount γ
 * @param trace λ
 */
export function generalisedAdvantages(
  rewards: readonly number[],
  values: readonly number[],
  ends: readonly boolean[],
  discount: number,
  trace: number,
): Advantages {
  const advantages = new Float64Array(rewards.length);
  let next = 0;
  for (let step = rewards.length - 1; step >= 0; step--) {
    const goesOn = ends[step] ? 0 : 1;
    const value = values[step] as number;
    const surprise = (rewards[step] as number) + goesOn * discount * (values[step + 1] ?? 0) - value;
    next = surprise + goesOn * discount * trace * next;
    advantages[step] = next;
  }
  return { advantages, returns: advantages.map((advantage, step) => advantage + (values[step] as number)) };
}

/** Smaller deviations are not stretched to 1: where all steps were as good as each other, there is nothing to learn from noise. */
const leastDeviation = 0.01;

/** With mean 0 and standard deviation 1. */
export function normalised(values: Float64Array): Float64Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const deviation = Math.max(Math.sqrt(variance), leastDeviation);
  return values.map((value) => (value - mean) / deviation);
}
