/** Figures beside the value of a policy, from the same outcomes and the same reward model. */
import { meanOf, varianceOf } from "./intervals.ts";
import { type Expected, type OddsOf, robustReturn, weightsOf } from "./trajectory-value.ts";

export interface Figures {
  /**
   * How far what the reward model expected of the choices to the end of their trajectories, from others alone, is from what came:
   * the expected calibration error over ten bins with as many outcomes each, in the unit of the reward.
   */
  readonly reward_calibration_error: number;
  /**
   * What the best fixed choice earns more than the policy; below 0 the policy is better. A fixed choice is one candidate wherever
   * it is offered, and elsewhere the policy's own. Absent where no candidate was chosen often enough to tell.
   */
  readonly regret?: number;
}

const bins = 10;
/** Trajectories that those of a fixed choice have to be worth: (Σw)² / Σw². Fewer are luck. */
const leastEffective = 30;
/** Standard errors, for a lower bound of 97.5 %. */
const doubt = 1.96;

/**
 * @param values doubly robust, of the policy
 * @param clip greatest weight that counts
 */
export function figuresOf(trajectories: readonly Expected[], values: Float64Array, clip: number): Figures {
  const regret = regretOf(trajectories, values, clip);
  return { reward_calibration_error: calibrationError(trajectories), ...(regret !== undefined && { regret }) };
}

function calibrationError(trajectories: readonly Expected[]): number {
  const pairs = trajectories.flatMap(pairsOf).toSorted((left, right) => left.expected - right.expected);
  const sums = new Float64Array(bins);
  for (const [rank, { expected, came }] of pairs.entries()) {
    const bin = Math.floor((bins * rank) / pairs.length);
    sums[bin] = (sums[bin] as number) + expected - came;
  }
  return sums.reduce((sum, difference) => sum + Math.abs(difference), 0) / pairs.length;
}

/** What was expected from each step to the end, and what came. */
function pairsOf({ steps, returns }: Expected): { expected: number; came: number }[] {
  let came = 0;
  return steps
    .map(({ chosen, reward }, index) => ({ expected: returns[index]?.[chosen] as number, reward }))
    .reverse()
    .map(({ expected, reward }) => {
      came += reward;
      return { expected, came };
    });
}

/** The best by its lower bound, so that of many candidates not the luckiest is taken. */
function regretOf(trajectories: readonly Expected[], values: Float64Array, clip: number): number | undefined {
  let best: { readonly bound: number; readonly regret: number } | undefined;
  const chosen = Map.groupBy(
    trajectories.flatMap(({ steps }) => steps),
    (step) => step.situation.ids[step.chosen] as string,
  );
  for (const [id, steps] of chosen) {
    if (steps.length < leastEffective) continue;
    const fixed = always(id);
    const weights = trajectories.map(({ steps }) =>
      steps.some(({ situation }) => situation.ids.includes(id)) ? Math.min(clip, weightsOf(steps, fixed).at(-1) as number) : 0,
    );
    if (!(effective(weights) >= leastEffective)) continue;
    const gains = trajectories.map((one, index) => robustReturn(one, fixed, clip) - (values[index] as number));
    const regret = meanOf(gains);
    const bound = regret - doubt * Math.sqrt(varianceOf(gains) / gains.length);
    if (best === undefined || bound > best.bound) best = { bound, regret };
  }
  return best?.regret;
}

const always =
  (id: string): OddsOf =>
  ({ situation, odds }) =>
    situation.ids.includes(id) ? situation.ids.map((each) => (each === id ? 1 : 0)) : odds;

function effective(weights: readonly number[]): number {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return sum === 0 ? 0 : sum ** 2 / weights.reduce((total, weight) => total + weight * weight, 0);
}
