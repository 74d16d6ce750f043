import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { experienceOf, withEnds } from "../../modules/policy/learner/experience.ts";

const logged = (id: string | undefined, step: number, last = false) => {
  const selected = {
    context: {},
    candidates: [{ id: "one" }, { id: "other" }],
    choice: "other",
    probability: 0.5,
    policy: "uniform",
    ...(id && { episode: { id, step, last } }),
  };
  return experienceOf(defaultSpec, { selected: JSON.stringify(selected), reward: 1, ordinal: 1, desirable: null });
};

test("the furthest step of an episode is its last, unless another was said to be", () => {
  const steps = [logged("a", 0), logged("b", 0), logged("a", 1), logged("b", 1, true), logged("b", 2), logged(undefined, 0)];
  const ends = withEnds(steps).map(({ episode }) => episode && `${episode.id}${episode.step}${episode.last ? " last" : ""}`);
  assert.deepEqual(ends, ["a0", "b0", "a1 last", "b1 last", "b2", undefined]);
});

test("an experience is what was chosen, with the odds that it had", () => {
  const { chosen, probability, reward, deployment, situation } = logged(undefined, 0);
  assert.deepEqual({ chosen, probability, reward, deployment }, { chosen: 1, probability: 0.5, reward: 1, deployment: "uniform" });
  assert.deepEqual(situation.ids, ["one", "other"]);
});
