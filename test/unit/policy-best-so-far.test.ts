import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { draw, seededRandom } from "../../modules/policy/chance.ts";
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
  it("knows nothing at first, and tries a newcomer soon, whatever the others earned", () => {
    const odds = taught([{ context: {}, red: 1, green: 1, times: 1 }]);
    assert.deepEqual(odds({}).probabilities, [0.5, 0.5]);
    const policy = bestSoFar.create({ spec: defaultSpec, seed: 1 });
    assert.deepEqual(policy.odds(of({})).probabilities, [0.5, 0.5]);
    for (let time = 0; time < 500; time++) policy.observe?.({ situation: of({}), chosen: 0, probability: 0.5, reward: -1 });
    const { probabilities, reason } = policy.odds(of({}));
    assert.ok((probabilities[1] as number) >= 0.2 && (probabilities[0] as number) > 0.75, `${probabilities}`);
    assert.match(reason(1), /^explored: no outcome of it is known yet/);
    assert.match(reason(0), /^best so far: estimated reward -1\.000 from 500 outcomes/);
  });

  it("keeps choosing among the others where one never reports, and leaves every candidate some odds", () => {
    const policy = bestSoFar.create({ spec: defaultSpec, seed: 1 });
    const ids = ["good", "silent", "bad"];
    const situation = encode(
      defaultSpec,
      {},
      ids.map((id) => ({ id })),
    );
    const random = seededRandom(7);
    const chosen = ids.map(() => 0);
    for (let round = 0; round < 300; round++) {
      const { probabilities } = policy.odds(situation);
      assert.ok(Math.min(...probabilities) >= 0.005, `${probabilities}`);
      const index = draw(probabilities, random());
      chosen[index] = (chosen[index] as number) + 1;
      if (index !== 1) policy.observe?.({ situation, chosen: index, probability: probabilities[index] as number, reward: 1 - index / 2 });
    }
    assert.ok((chosen[0] as number) > 200 && (chosen[2] as number) > 0, `${chosen}`);
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
