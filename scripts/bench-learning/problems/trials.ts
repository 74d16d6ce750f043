/** How a policy on trial fares that is worse, as good, or better, and how soon the guard notices one that has become worse. */
import { seededRandom } from "../../../modules/policy/chance.ts";
import { add, compare, noOutcomes, type Sides } from "../../../modules/policy/evaluation/confidence-sequence.ts";
import { judgeTrial } from "../../../modules/policy/evaluation/trial.ts";
import type { Problem } from "../problem.ts";

const share = 0.05;
const usual = 0.5;
/** Outcomes after which the gate looks again. */
const lookEvery = 20;
const longest = 100_000;

/** @param gain of the side that has the small share, on the left */
function* looks(seed: number, gain: number): Generator<Sides> {
  const random = seededRandom(seed * 7_919);
  let sides: Sides = { selections: 0, left: noOutcomes, right: noOutcomes };
  let total = 0;
  for (let selections = 1; selections <= longest; selections++) {
    const side = random() < share ? "left" : "right";
    const reward = random() < (side === "left" ? usual + gain : usual) ? 1 : 0;
    const drawn = { odds: side === "left" ? share : 1 - share, centre: total / Math.max(1, selections - 1) };
    sides = { ...sides, selections, [side]: add(sides[side], drawn, reward) };
    total += reward;
    if (selections % lookEvery === 0) yield sides;
  }
}

/** Whether a trial passes, and after how many outcomes of the slot. */
function trial(seed: number, gain: number): { passes: number; outcomes: number } {
  for (const sides of looks(seed, gain)) {
    const { verdict } = compare(sides, [], { least: share });
    const { result } = judgeTrial(sides);
    if (verdict === "left" || (verdict !== "right" && result === "passed")) return { passes: 1, outcomes: sides.selections };
    if (verdict === "right" || result === "failed") return { passes: 0, outcomes: sides.selections };
  }
  return { passes: 0, outcomes: longest };
}

/** Outcomes until the serving policy is rolled back, worse by this than its guard. */
function noticed(seed: number, worse: number): number {
  for (const sides of looks(seed, worse)) if (compare(sides, [], { least: share }).verdict === "left") return sides.selections;
  return longest;
}

export const trials: Problem = {
  name: "trials",
  description:
    "the share of trials that pass with 5 % of the selections, by what the policy is worth beside the serving one, and how long they last",
  goals: [
    { measure: "worse_by_0.10_passes", atMost: 0.01 },
    { measure: "worse_by_0.05_passes", atMost: 0.1 },
    { measure: "better_by_0.05_passes", atLeast: 0.9 },
    { measure: "better_by_0.10_passes", atLeast: 0.99 },
  ],
  seeds: 200,
  run(seed) {
    const measures: Record<string, number> = {};
    for (const [name, gain] of [
      ["worse_by_0.10", -0.1],
      ["worse_by_0.05", -0.05],
      ["equal", 0],
      ["better_by_0.05", 0.05],
      ["better_by_0.10", 0.1],
    ] as const) {
      const { passes, outcomes } = trial(seed, gain);
      measures[`${name}_passes`] = passes;
      measures[`${name}_outcomes`] = outcomes;
    }
    measures.guard_notices_0_1_after = noticed(seed, 0.1);
    measures.guard_notices_0_3_after = noticed(seed, 0.3);
    return measures;
  },
};
