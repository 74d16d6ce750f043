import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { bestSoFar } from "../../modules/policy/policies/best-so-far.ts";

const candidates = ["red", "green"].map((id) => ({ id }));
const of = (context: Record<string, unknown>) => encode(defaultSpec, context, candidates);

/** Red earns `red` and green `green` in the context, `times` each. */
function taught(lessons: readonly { context: Record<string, unknown>; red: number; green: number; times: number }[]) {
  const policy = bestSoFar.create({ spec: defaultSpec, seed: 1 });
  for (const { context, times, ...rewards } of lessons)
    for (let time = 0; time < times; time++)
      for (const [chosen, reward] of [rewards.red, rewards.green].entries())
        policy.observe?.({ situation: of(context), chosen, probability: 0.5, reward });
  return (context: Record<string, unknown>) => policy.odds(of(context));
}

describe("best_so_far", () => {
  it("tries what was never tried first", () => {
    const odds = taught([{ context: {}, red: 1, green: 1, times: 1 }]);
    assert.deepEqual(odds({}).probabilities, [0.5, 0.5]);
    const policy = bestSoFar.create({ spec: defaultSpec, seed: 1 });
    policy.observe?.({ situation: of({}), chosen: 0, probability: 0.5, reward: 1 });
    assert.deepEqual(policy.odds(of({})).probabilities, [0, 1]);
  });

  it("knows what is best in each context, and in general where a context is new", () => {
    const odds = taught([
      { context: { time: "day" }, red: 1, green: 0, times: 60 },
      { context: { time: "night" }, red: 0, green: 1, times: 40 },
    ]);
    const best = (context: Record<string, unknown>) => odds(context).scores.indexOf(Math.max(...odds(context).scores));
    assert.deepEqual([best({ time: "day" }), best({ time: "night" }), best({ time: "dawn" })], [0, 1, 0]);
    assert.ok(Math.abs((odds({ time: "day" }).probabilities[0] as number) - 0.99) < 1e-9);
  });

  it("judges a new context by those that share a value with it", () => {
    const odds = taught([
      { context: { time: "day", place: "north" }, red: 1, green: 0, times: 20 },
      { context: { time: "night", place: "south" }, red: 0, green: 1, times: 30 },
    ]);
    const { scores } = odds({ time: "day", place: "east" });
    assert.ok((scores[0] as number) > (scores[1] as number));
  });
});
