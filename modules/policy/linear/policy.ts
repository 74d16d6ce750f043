/** Policies on the linear model: they differ in what odds they give to the same predictions. */
import { originOf } from "../features/encode.ts";
import { KnownValues } from "../policies/known-values.ts";
import type { Odds, Policy, PolicyKind, PolicyOptions, Situation } from "../policies/policy.ts";
import type { Expectation } from "./block.ts";
import { createModel, type LinearModel, learn, predict, versionOf } from "./model.ts";
import { tellReason } from "./reason.ts";
import { loadModel, saveModel } from "./saved-model.ts";

/** Odds that are shared evenly by all candidates, so that each goes on being tried and every estimate from the log is bounded. */
const exploration = 0.01;

/** @param choose odds from predictions: not negative, adding up to 1 */
export function linearPolicy(name: string, choose: (predictions: readonly Expectation[]) => readonly number[]): PolicyKind {
  const policyOf = (model: LinearModel, spec: PolicyOptions["spec"], known = new KnownValues()): Policy => ({
    name,
    get version() {
      return versionOf(model);
    },
    odds(situation: Situation): Odds {
      const predictions = predict(model, situation);
      const evenly = exploration / predictions.length;
      known.note(originOf(situation)?.context ?? {});
      return {
        scores: predictions.map(({ mean }) => mean),
        probabilities: choose(predictions).map((probability) => (1 - exploration) * probability + evenly),
        reason: (index) => tellReason(model, situation, predictions, index, known),
      };
    },
    observe: ({ situation, chosen, reward }) => learn(model, situation, chosen, reward),
    save: () => saveModel(name, spec, model),
  });
  return {
    name,
    create: ({ spec }) => policyOf(createModel(spec), spec),
    load: (bytes, { spec }) => policyOf(loadModel(name, spec, bytes), spec),
  };
}
