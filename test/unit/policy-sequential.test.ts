import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../modules/policy/chance.ts";
import { add, compare, type Later, noOutcomes, type Sides } from "../../modules/policy/evaluation/confidence-sequence.ts";
import { judgeTrial } from "../../modules/policy/evaluation/trial.ts";

const nobody: Sides = { selections: 0, left: noOutcomes, right: noOutcomes };
const seeds = Array.from({ length: 200 }, (_, index) => index + 1);

interface Success {
  readonly left: number;
  readonly right: number;
  /** That the left one is chosen. */
  readonly odds: number;
}

/** What is known after each of so many outcomes of two sides that succeed so often. */
function* sidesOf(seed: number, count: number, success: Success): Generator<Sides> {
  const random = seededRandom(seed * 7_919);
  let sides = nobody;
  let successes = 0;
  for (let selections = 1; selections <= count; selections++) {
    const side = random() < success.odds ? "left" : "right";
    const odds = side === "left" ? success.odds : 1 - success.odds;
    const reward = random() < success[side] ? 1 : 0;
    const centre = successes / Math.max(1, selections - 1);
    sides = { ...sides, selections, [side]: add(sides[side], { odds, centre }, reward) };
    successes += reward;
    yield sides;
  }
}

const leastOf = ({ odds }: Success) => ({ least: Math.min(odds, 1 - odds) });

describe("a sequential comparison", () => {
  for (const odds of [0.5, 0.05]) {
    it(`of equal sides decides wrongly in at most 5 % of cases, however often one looks: odds ${odds}`, () => {
      const equal = { left: 0.5, right: 0.5, odds };
      const wrong = seeds.filter((seed) => {
        for (const sides of sidesOf(seed, 4_000, equal)) if (compare(sides, [], leastOf(equal)).verdict !== "not enough data") return true;
        return false;
      });
      assert.ok(wrong.length <= 0.05 * seeds.length, `${wrong.length} of ${seeds.length}`);
    });
  }

  it("finds the better side, and its interval holds the difference at all times", () => {
    const better = { left: 0.4, right: 0.7, odds: 0.5 };
    let missed = 0;
    for (const seed of seeds) {
      let last = compare(nobody, [], leastOf(better));
      let always = true;
      for (const sides of sidesOf(seed, 1_500, better)) {
        last = compare(sides, [], leastOf(better));
        if (last.interval[0] > -0.3 || last.interval[1] < -0.3) always = false;
      }
      assert.equal(last.verdict, "right");
      assert.ok(Math.abs(last.difference + 0.3) < 0.15);
      if (!always) missed++;
    }
    assert.ok(missed <= 0.05 * seeds.length, `${missed} missed`);
  });

  it("passes over what is of neither side, and is undecided about nothing", () => {
    assert.equal(compare(nobody, [], { least: 0.5 }).verdict, "not enough data");
    assert.equal(compare({ ...nobody, selections: 1_000 }, [], { least: 0.5 }).verdict, "not enough data");
  });

  it("takes the worst for granted of what is not known yet, and no outcome twice", () => {
    const bounds = { least: 0.5 };
    const outcome = (side: "left" | "right", reward?: number): Later => ({ side, odds: 0.5, centre: 0.5, reward });
    const clear = Array.from({ length: 400 }, (_, index) => outcome(index % 2 === 0 ? "left" : "right", index % 2 === 0 ? 1 : 0));
    assert.equal(compare(nobody, clear, bounds).verdict, "left");
    const [some, many] = [20, 200].map((count) => Array.from({ length: count }, () => outcome("left")));
    assert.equal(compare(nobody, [...clear, ...(some as Later[])], bounds).verdict, "left");
    const unsure = compare(nobody, [...clear, ...(many as Later[])], bounds);
    assert.equal(unsure.verdict, "not enough data");
    const worst = compare(nobody, [...clear, ...(many as Later[]).map((one) => ({ ...one, reward: -1 }))], bounds);
    const best = compare(nobody, [...clear, ...(many as Later[]).map((one) => ({ ...one, reward: 1 }))], bounds);
    assert.ok(unsure.interval[0] <= worst.interval[0] && unsure.interval[1] >= best.interval[1]);
  });
});

describe("a trial with 5 % of the selections", () => {
  /** Share of 200 trials that pass, and the outcomes until nine in ten are over. */
  const trials = (left: number, right: number) => {
    const lengths: number[] = [];
    let passed = 0;
    for (const seed of seeds) {
      for (const sides of sidesOf(seed, 40_000, { left, right, odds: 0.05 })) {
        const { result } = judgeTrial(sides);
        if (result === "not enough data") continue;
        if (result === "passed") passed++;
        lengths.push(sides.selections);
        break;
      }
    }
    assert.equal(lengths.length, seeds.length, "each ends");
    return { passed: passed / seeds.length, most: lengths.sort((one, other) => one - other)[0.9 * seeds.length] as number };
  };

  it("stops what is worse by 0.05, and lets pass what is better by as much, within a practical number of outcomes", () => {
    const [worse, better] = [trials(0.45, 0.5), trials(0.55, 0.5)];
    assert.ok(worse.passed <= 0.1, `${worse.passed} of the worse pass`);
    assert.ok(better.passed >= 0.9, `${better.passed} of the better pass`);
    assert.ok(worse.most <= 8_000 && better.most <= 8_000, `${worse.most}, ${better.most} outcomes`);
  });

  it("does not take 100 outcomes of its own as enough where they say little", () => {
    const undecided = seeds.filter((seed) => {
      for (const sides of sidesOf(seed, 40_000, { left: 0.5, right: 0.5, odds: 0.05 }))
        if (sides.left.outcomes === 100) return judgeTrial(sides).result === "not enough data";
      return false;
    });
    assert.ok(undecided.length > seeds.length / 2);
  });

  it("decides where rounding leaves no variance", () => {
    const left = { ...noOutcomes, outcomes: 100, sum: 100, squares: 50 };
    const { log_likelihood_ratio, result } = judgeTrial({ selections: 200, left, right: noOutcomes });
    assert.equal(result, "passed");
    assert.ok(Number.isFinite(log_likelihood_ratio));
  });
});
