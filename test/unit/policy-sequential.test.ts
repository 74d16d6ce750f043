import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../modules/policy/chance.ts";
import { type Compared, compareSequentially } from "../../modules/policy/evaluation/sequential.ts";

/** Outcomes of two sides that succeed so often, the left one chosen with these odds. */
function outcomes(seed: number, count: number, { left, right, odds }: { left: number; right: number; odds: number }): Compared[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const isLeft = random() < odds;
    return { side: isLeft ? "left" : "right", odds: isLeft ? odds : 1 - odds, reward: random() < (isLeft ? left : right) ? 1 : 0 };
  });
}

const seeds = Array.from({ length: 200 }, (_, index) => index + 1);

describe("a sequential comparison", () => {
  for (const odds of [0.5, 0.05]) {
    it(`of equal sides decides wrongly in at most 5 % of cases, however often one looks: odds ${odds}`, () => {
      // The interval is the intersection of all that were before it, so its last verdict is that of somebody who always looked.
      const wrong = seeds.filter((seed) => {
        const { verdict } = compareSequentially(outcomes(seed, 2_000, { left: 0.5, right: 0.5, odds }), Math.min(odds, 1 - odds));
        return verdict !== "not enough data";
      });
      assert.ok(wrong.length <= 0.05 * seeds.length, `${wrong.length} of ${seeds.length}`);
    });
  }

  it("finds the better side, and its interval holds the difference at all times", () => {
    let found = 0;
    let missed = 0;
    for (const seed of seeds) {
      const compared = outcomes(seed, 1_500, { left: 0.4, right: 0.7, odds: 0.5 });
      const { verdict, difference } = compareSequentially(compared, 0.5);
      if (verdict === "right") found++;
      assert.ok(Math.abs(difference + 0.3) < 0.15);
      const looks = [50, 200, 500, 1_500].map((count) => compareSequentially(compared.slice(0, count), 0.5).interval);
      if (looks.some(([low, high]) => low > -0.3 || high < -0.3)) missed++;
    }
    assert.equal(found, seeds.length);
    assert.ok(missed <= 0.05 * seeds.length, `${missed} missed`);
  });

  it("passes over what is of neither side, and is undecided about nothing", () => {
    assert.equal(compareSequentially([], 0.5).verdict, "not enough data");
    const neither: Compared[] = Array.from({ length: 100 }, () => ({ side: "neither", odds: 0, reward: 1 }));
    assert.equal(compareSequentially(neither, 0.5).verdict, "not enough data");
  });

  it("refuses odds that are below what was promised", () => {
    assert.throws(() => compareSequentially([{ side: "left", odds: 0.1, reward: 1 }], 0.2), RangeError);
  });
});
