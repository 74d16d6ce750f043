import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  beginTrial,
  changeFeatures,
  compareAnew,
  countAnew,
  giveUp,
  isRefused,
  isToBeJudged,
  newSlot,
  noteJudged,
  promote,
  rollBack,
  type SlotState,
} from "../../modules/policy/serving/slot-state.ts";

const fresh = newSlot("uniform", []);
const checkpoint = { policy: "kto", checkpoint: "0123456789abcdef" };
const label = "kto@0123456789ab";
const rolledBack = (state: SlotState, outcomes: number): SlotState => rollBack(state, outcomes)?.state as SlotState;

describe("a policy that was rolled back", () => {
  it("is judged anew after twice the outcomes when it learns as it goes", () => {
    const state = rolledBack(beginTrial(fresh, { policy: "linucb" }, 600), 700);
    for (const [outcomes, refused] of [
      [700, true],
      [1_399, true],
      [1_400, false],
    ] as const) {
      assert.equal(isRefused(state, "linucb", outcomes), refused);
      assert.equal(isToBeJudged(state, "linucb", outcomes), !refused);
    }
    const again = rolledBack(beginTrial(state, { policy: "linucb" }, 1_400), 1_500);
    assert.deepEqual([again.refused, isRefused(again, "linucb", 2_999), isRefused(again, "linucb", 3_000)], [["linucb"], true, false]);
    assert.equal(isRefused(changeFeatures(again, fresh.features, { policy: "uniform" }, 0), "linucb", 1_500), false);
  });

  it("is refused for good when it is a checkpoint", () => {
    const state = rolledBack(beginTrial(fresh, checkpoint, 600), 700);
    assert.equal(isRefused(state, label, 1_000_000), true);
    assert.equal(isToBeJudged(state, label, 1_000_000), false);
  });
});

it("a checkpoint that cannot be used is refused once; the one before serves, or the usual one, or the serving one alone", () => {
  const usual = { policy: "uniform" };
  const trial = beginTrial(fresh, checkpoint, 0);
  const serving = promote(trial, trial.contender ?? assert.fail(), 100);
  for (const state of [trial, serving, { ...fresh, serving: checkpoint }]) {
    const next = giveUp(state, checkpoint, usual, 200) ?? assert.fail();
    assert.deepEqual([next.serving, next.contender, next.refused], [usual, undefined, [label]]);
    assert.equal(giveUp(next, checkpoint, usual, 300), undefined);
    assert.equal(isToBeJudged(next, label, 1_000), false);
  }
  const many = Array.from({ length: 60 }, (_, index) => `kto@${index}`);
  assert.equal(giveUp({ ...trial, refused: many }, checkpoint, usual, 200)?.refused.length, 50);
});

it("a policy is judged by itself at first, a checkpoint once, what learns as it goes each time that the outcomes have doubled", () => {
  assert.equal(isToBeJudged(fresh, label, 500), true);
  const judged = noteJudged(noteJudged(fresh, label, 500), "linucb", 500);
  assert.deepEqual(
    [isToBeJudged(judged, label, 5_000), isToBeJudged(judged, "linucb", 999), isToBeJudged(judged, "linucb", 1_000)],
    [false, false, true],
  );
  assert.equal(isRefused(judged, "linucb", 600), false);
});

it("what was done after more outcomes than there are is done anew", () => {
  const checkpoint = { policy: "kto", sha256: "ab", bytes: 1, outcomes: 800, feature_spec: "1", seed: 1, trained_at: "", report: {} };
  const state = { ...newSlot("thompson", ["kto"]), learned: 1_000, judged: { linucb: 500 }, checkpoints: [checkpoint] };
  assert.equal(countAnew(state, 1_000), undefined);
  const trial = beginTrial(state, { policy: "linucb" }, 900);
  const anew = countAnew(trial, 30) as SlotState;
  assert.deepEqual([anew.learned, anew.judged, anew.checkpoints.map(({ outcomes }) => outcomes)], [0, {}, [0]]);
  assert.deepEqual([anew.contender?.since, anew.contender?.comparison], [30, (trial.contender?.comparison ?? 0) + 1]);
  assert.equal(countAnew(anew, 30), undefined);
});

it("every comparison has a number of its own, also one that begins anew", () => {
  const trial = beginTrial(fresh, checkpoint, 0);
  const serving = promote(trial, trial.contender ?? assert.fail(), 100);
  const anew = compareAnew(serving, 200);
  assert.deepEqual(
    [trial, serving, anew].map(({ contender }) => contender && [contender.role, contender.comparison, contender.since]),
    [
      ["trial", 1, 0],
      ["guard", 2, 100],
      ["guard", 3, 200],
    ],
  );
  assert.equal(compareAnew(fresh, 5), fresh);
  assert.equal(beginTrial(rolledBack(anew, 300), checkpoint, 300).contender?.comparison, 4);
});
