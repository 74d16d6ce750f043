/** What would have come of a choice up to the end, as a regularised linear model expects: one that never saw the trajectory in question. */
import { rowOf } from "../features/sparse-rows.ts";
import type { FeatureSpec } from "../features/spec.ts";
import { createModel, learn, predict } from "../linear/model.ts";
import type { LinearRows } from "../policies/policy.ts";
import type { Trajectory } from "../trajectories.ts";

const folds = 5;

/** Expected sum of rewards from each step on, of each candidate: [trajectory][step][candidate], by a model of the other folds. */
export function crossFitted(trajectories: readonly Trajectory[], spec: FeatureSpec): readonly (readonly (readonly number[])[])[] {
  const expected: (readonly (readonly number[])[])[] = new Array(trajectories.length);
  const lessons = trajectories.map(lessonsOf);
  for (let fold = 0; fold < folds; fold++) {
    const model = createModel(spec);
    for (const [index, steps] of lessons.entries()) {
      if (index % folds !== fold) for (const { rows, ids, rest } of steps) learn(model, { rows, ids }, 0, rest);
    }
    for (let index = fold; index < trajectories.length; index += folds) {
      expected[index] = (trajectories[index] as Trajectory).map(({ situation }) => predict(model, situation).map(({ mean }) => mean));
    }
  }
  return expected;
}

interface Lesson {
  /** Of the chosen candidate alone: with all the others they take much memory. */
  readonly rows: LinearRows;
  readonly ids: readonly [string];
  /** What came from this step to the end. */
  readonly rest: number;
}

function lessonsOf(trajectory: Trajectory): Lesson[] {
  let rest = trajectory.reduce((sum, { reward }) => sum + reward, 0);
  return trajectory.map(({ situation: { rows, ids }, chosen, reward }) => {
    const described = rowOf(rows.described, chosen);
    const lesson: Lesson = { rows: { common: rows.common, described }, ids: [ids[chosen] as string], rest };
    rest -= reward;
    return lesson;
  });
}
