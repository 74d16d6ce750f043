/** What would have come of a choice up to the end, as a regularised linear model expects: one that never saw the trajectory in question. */
import type { FeatureSpec } from "../features/spec.ts";
import { createModel, learn, predict } from "../linear/model.ts";
import type { Trajectory } from "../trajectories.ts";

const folds = 5;

/** Expected sum of rewards from each step on, of each candidate: [trajectory][step][candidate], by a model of the other folds. */
export function crossFitted(trajectories: readonly Trajectory[], spec: FeatureSpec): readonly (readonly (readonly number[])[])[] {
  const expected: (readonly (readonly number[])[])[] = new Array(trajectories.length);
  for (let fold = 0; fold < folds; fold++) {
    const model = createModel(spec);
    for (const [index, trajectory] of trajectories.entries()) if (index % folds !== fold) learnReturns(trajectory);
    for (let index = fold; index < trajectories.length; index += folds) {
      expected[index] = (trajectories[index] as Trajectory).map(({ situation }) => predict(model, situation).map(({ mean }) => mean));
    }

    function learnReturns(trajectory: Trajectory): void {
      let rest = trajectory.reduce((sum, { reward }) => sum + reward, 0);
      for (const { situation, chosen, reward } of trajectory) {
        learn(model, situation.rows[chosen] as Float32Array, situation.ids[chosen] as string, rest);
        rest -= reward;
      }
    }
  }
  return expected;
}
