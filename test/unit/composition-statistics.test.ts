import assert from "node:assert/strict";
import { test } from "node:test";
import { differenceInterval, emptyTally, wilson, withScore } from "../../modules/composition/catalogue/statistics.ts";

const tallyOf = (scores: number[]) => scores.reduce((tally, score) => withScore(tally, score, score > 0), emptyTally);
const rounded = (interval: readonly number[] | undefined) => interval?.map((bound) => Math.round(bound * 1_000) / 1_000);

test("Wilson's interval is that of the textbook, also at the ends", () => {
  assert.deepEqual(rounded(wilson(8, 10)), [0.49, 0.943]);
  assert.deepEqual(rounded(wilson(0, 10)), [0, 0.278]);
  assert.deepEqual(rounded(wilson(1, 1)), [0.207, 1]);
});

test("the interval of a difference is Newcombe's for successes and Welch's for scores", () => {
  const successes = (count: number, all: number) => tallyOf(Array.from({ length: all }, (_, number) => Number(number < count)));
  assert.deepEqual(rounded(differenceInterval(successes(56, 70), successes(48, 80))), [0.052, 0.334]);
  const left = tallyOf([27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]);
  const right = tallyOf([27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5, 24.4]);
  const [low = 0, high = 0] = differenceInterval(left, right) ?? [];
  // Mean difference −2.8333, standard error 0.9932, t of 27 degrees of freedom 2.0518.
  assert.ok(Math.abs(low - (-2.8333 - 2.0518 * 0.9932)) < 0.002 && Math.abs(high - (-2.8333 + 2.0518 * 0.9932)) < 0.002, `${low} ${high}`);
});

test("scores that tell nothing about their spread have no interval", () => {
  assert.equal(differenceInterval(tallyOf([0.5]), tallyOf([0.2, 0.4])), undefined);
  assert.equal(differenceInterval(tallyOf([0.5, 0.5]), tallyOf([0.4, 0.4])), undefined);
});
