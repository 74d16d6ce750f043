/** What a reward would have been, as a regularised linear model expects: one that never saw the outcome in question. */
import type { FeatureSpec } from "../features/spec.ts";
import { createModel, learn, predict } from "../linear/model.ts";
import type { Experience } from "../policies/policy.ts";

const folds = 5;

/** Expected reward of each candidate of each experience, by a model of the experiences in the other folds. */
export function crossFitted(experiences: readonly Experience[], spec: FeatureSpec): readonly (readonly number[])[] {
  const expected: (readonly number[])[] = new Array(experiences.length);
  for (let fold = 0; fold < folds; fold++) {
    const model = createModel(spec);
    experiences.forEach(({ situation: { rows, ids }, chosen, reward }, index) => {
      if (index % folds !== fold) learn(model, rows[chosen] as Float32Array, ids[chosen] as string, reward);
    });
    for (let index = fold; index < experiences.length; index += folds) {
      const { situation } = experiences[index] as Experience;
      expected[index] = predict(model, situation).map(({ mean }) => mean);
    }
  }
  return expected;
}
