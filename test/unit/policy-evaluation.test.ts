import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { draw, normal, seededRandom } from "../../modules/policy/chance.ts";
import { figuresOf } from "../../modules/policy/evaluation/figures.ts";
import { bootstrapInterval } from "../../modules/policy/evaluation/intervals.ts";
import { evaluateOffPolicy, type Judged } from "../../modules/policy/evaluation/off-policy.ts";
import { decidePromotion, sufficiencyOf } from "../../modules/policy/evaluation/promotion.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";

const means = [0.2, 0.5, 0.8];
const candidates = ["a", "b", "c"].map((id) => ({ id }));
const situation = encode(defaultSpec, {}, candidates);
const worth = (odds: readonly number[]) => odds.reduce((sum, each, index) => sum + each * (means[index] as number), 0);
const near = (left: number, right: number, tolerance: number) => assert.ok(Math.abs(left - right) <= tolerance, `${left} is not ${right}`);

const serving = [0.6, 0.3, 0.1];
const better = [0.1, 0.2, 0.7];
const worse = [0.8, 0.15, 0.05];
/** Other odds, worth the same. */
const sameWorth = [0.65, 0.2, 0.15];

function log(
  count: number,
  odds: readonly number[],
  seed: number,
  rewardOf = (chosen: number, random: () => number) => (random() < (means[chosen] as number) ? 1 : 0),
): Judged[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const chosen = draw(serving, random());
    return { situation, chosen, probability: serving[chosen] as number, reward: rewardOf(chosen, random), odds, serving };
  });
}
const evaluate = (judged: readonly Judged[], seed = 1) => evaluateOffPolicy(judged, { spec: defaultSpec, seed });

describe("off-policy evaluation", () => {
  it("computes IPS, SNIPS and the effective sample size as defined", () => {
    const judged = [
      { chosen: 0, reward: 1 },
      { chosen: 2, reward: 0.5 },
      { chosen: 1, reward: -1 },
    ].map(({ chosen, reward }) => ({ situation, chosen, probability: serving[chosen] as number, reward, odds: better, serving }));
    const weights = [0.1 / 0.6, 0.7 / 0.1, 0.2 / 0.3];
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const weighted = (weights[0] as number) + 0.5 * (weights[1] as number) - (weights[2] as number);
    const { ips, snips, effective_sample_size, clipped } = evaluate(judged);
    near(ips.value, weighted / 3, 1e-12);
    near(snips.value, weighted / sum, 1e-12);
    near(effective_sample_size, sum ** 2 / weights.reduce((total, weight) => total + weight ** 2, 0), 1e-12);
    assert.equal(clipped, 0);
  });

  it("finds the value of another policy, with DR more surely than with IPS", () => {
    const { ips, snips, dr, serving: present, gain } = evaluate(log(4_000, better, 1));
    for (const estimate of [ips, snips, dr]) near(estimate.value, worth(better), 0.05);
    near(present.value, worth(serving), 0.03);
    near(gain.value, worth(better) - worth(serving), 0.05);
    assert.ok(dr.interval[1] - dr.interval[0] < ips.interval[1] - ips.interval[0]);
  });

  it("holds the truth in its intervals about as often as they say", () => {
    let held = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const { interval } = evaluate(log(600, better, seed), seed).dr;
      if (interval[0] <= worth(better) && worth(better) <= interval[1]) held++;
    }
    assert.ok(held >= 53, `${held} of 60`);
  });

  it("is less sure where the log hardly ever did what the policy does", () => {
    const seldom = [0.97, 0.01, 0.02];
    const judged = [0.01, 0.01, 0.98];
    let held = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const outcomes = Array.from({ length: 600 }, (): Judged => {
        const chosen = draw(seldom, random());
        const reward = random() < (means[chosen] as number) ? 1 : 0;
        return { situation, chosen, probability: seldom[chosen] as number, reward, odds: judged, serving: seldom };
      });
      const { interval } = evaluate(outcomes, seed).dr;
      if (interval[0] <= worth(judged) && worth(judged) <= interval[1]) held++;
    }
    assert.ok(held >= 56, `${held} of 60`);
  });

  it("clips weights, and says how many", () => {
    const rare = log(500, [0, 0, 1], 1).map((outcome) => ({ ...outcome, probability: outcome.chosen === 2 ? 0.01 : outcome.probability }));
    const { clip, clipped, ips } = evaluate(rare);
    assert.ok(clipped > 0.05 && clipped < 0.15);
    assert.ok(ips.value <= clip);
  });

  it("comes to the same from the same outcomes", () => {
    assert.deepEqual(evaluate(log(200, better, 1)), evaluate(log(200, better, 1)));
  });

  it("stands outcomes that are all the same, and a policy that never does what was done", () => {
    const same = evaluate(log(600, better, 1, () => 0));
    for (const { value, interval } of [same.ips, same.dr, same.gain]) assert.ok([value, ...interval].every(Number.isFinite));
    const never = log(600, [0, 0, 1], 1).filter(({ chosen }) => chosen !== 2);
    const evaluation = evaluate(never);
    assert.equal(evaluation.effective_sample_size, 0);
    assert.equal(decidePromotion(evaluation).reason, "not enough data");
  });
});

/**
 * Episodes of two steps: to prepare costs 0.2 and makes the second step worth 0.9 instead of 0.1 when its second candidate is taken,
 * which the first never is. Who logs draws evenly.
 */
function episodes(count: number, seed: number, prepares: number, takes = 0.9): Judged[] {
  const random = seededRandom(seed);
  const even = [0.5, 0.5];
  return Array.from({ length: count }, (_, episode) => {
    const [first, second] = [draw(even, random()), draw(even, random())];
    const stepOf = (step: number, chosen: number, reward: number, share: number): Judged => ({
      situation: encode(defaultSpec, step === 0 ? {} : { prepared: first === 1 }, [{ id: `${step}a` }, { id: `${step}b` }]),
      chosen,
      probability: 0.5,
      reward,
      odds: [1 - share, share],
      serving: even,
      episode: { id: `${episode}`, step, last: step === 1 },
    });
    const paid = second === 1 && random() < (first === 1 ? 0.9 : 0.1) ? 1 : 0;
    return [stepOf(0, first, first === 1 ? -0.2 : 0, prepares), stepOf(1, second, paid, takes)];
  }).flat();
}
const worthOf = (prepares: number, takes = 0.9) => prepares * (0.9 * takes - 0.2) + (1 - prepares) * 0.1 * takes;

describe("off-policy evaluation of episodes", () => {
  it("finds what a policy earns to the end, by each estimator", () => {
    const evaluation = evaluate(episodes(4_000, 1, 0.8));
    const { ips, snips, dr, serving: present, gain } = evaluation;
    for (const estimate of [ips, snips, dr]) near(estimate.value, worthOf(0.8), 0.04);
    near(present.value, worthOf(0.5, 0.5), 0.03);
    near(gain.value, worthOf(0.8) - worthOf(0.5, 0.5), 0.04);
    assert.deepEqual([evaluation.outcomes, evaluation.trajectories], [8_000, 4_000]);
    assert.ok(dr.interval[1] - dr.interval[0] < ips.interval[1] - ips.interval[0]);
  });

  it("weighs a trajectory by all of its steps", () => {
    const [trajectory] = [episodes(1, 1, 0.8)];
    assert.ok(trajectory);
    const [first, second] = trajectory as [Judged, Judged];
    const weights = [first, second].map(({ odds, chosen }) => (odds[chosen] as number) / 0.5) as [number, number];
    const expected = weights[0] * first.reward + weights[0] * weights[1] * second.reward;
    near(
      evaluate([...trajectory, ...trajectory.map((step) => ({ ...step, episode: { ...step.episode, id: "again" } as never }))]).ips.value,
      expected,
      1e-12,
    );
  });

  it("holds the truth in its intervals about as often as they say", () => {
    let held = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const [low, high] = evaluate(episodes(400, seed, 0.9), seed).dr.interval;
      if (low <= worthOf(0.9) && worthOf(0.9) <= high) held++;
    }
    assert.ok(held >= 53, `${held} of 60`);
  });

  it("passes what pays later though it costs now, and not what saves the cost", () => {
    assert.equal(decidePromotion(evaluate(episodes(800, 1, 0.95))).promote, true);
    assert.equal(decidePromotion(evaluate(episodes(800, 1, 0.05, 0.5))).promote, false);
  });

  it("leaves out episodes of which not every step is there", () => {
    const whole = episodes(300, 1, 0.8);
    const cut = episodes(600, 1, 0.8).filter(({ episode }) => Number(episode?.id) < 300 || episode?.step === 1);
    assert.deepEqual(evaluate(cut), evaluate(whole));
  });
});

describe("the decision on promotion", () => {
  it("passes a policy that is plainly better, on 500 outcomes and no fewer", () => {
    assert.equal(decidePromotion(evaluate(log(500, better, 1))).promote, true);
    assert.deepEqual(decidePromotion(evaluate(log(499, better, 1))).reason, "not enough data");
  });

  it("passes none that is the same or worse, as a rule", () => {
    near(worth(sameWorth), worth(serving), 1e-12);
    assert.equal(decidePromotion(evaluate(log(800, serving, 1))).reason, "not better");
    let passed = 0;
    for (let seed = 1; seed <= 60; seed++) if (decidePromotion(evaluate(log(500, sameWorth, seed), seed)).promote) passed++;
    assert.ok(passed <= 5, `${passed} of 60`);
    for (let seed = 1; seed <= 20; seed++) assert.equal(decidePromotion(evaluate(log(500, worse, seed), seed)).promote, false);
  });

  it("is not moved by a handful of extreme rewards", () => {
    const judged = log(600, worse, 1).map((outcome, index) => (index % 100 === 0 ? { ...outcome, reward: 1 } : outcome));
    assert.equal(decidePromotion(evaluate(judged)).promote, false);
  });
});

describe("a promotion without enough data", () => {
  it("says how many outcomes there are of how many that are needed", () => {
    assert.equal(sufficiencyOf(evaluate(log(499, better, 1))), "there are 499 outcomes to judge it by, and 500 are needed");
    const unlike = { ...evaluate(log(600, better, 1)), effective_sample_size: 12.7 };
    assert.match(sufficiencyOf(unlike), /^there are 600 outcomes .* worth 12 of its own, and 50 are needed$/);
    assert.match(sufficiencyOf({ outcomes: 700 }), /too few whole episodes/);
  });
});

describe("the figures beside a value", () => {
  it("tell the regret against the best fixed choice", () => {
    for (const odds of [better, worse]) near(evaluate(log(4_000, odds, 1)).regret ?? Number.NaN, 0.8 - worth(odds), 0.06);
    near(evaluate(log(4_000, [0, 0, 1], 1)).regret ?? Number.NaN, 0, 1e-9);
  });

  it("are not fooled by candidates that came once and happened to be good", () => {
    const random = seededRandom(3);
    const once = Array.from({ length: 4_000 }, (_, index): Judged => {
      const ids = ["usual", `new ${index}`];
      const chosen = draw([0.8, 0.2], random());
      const each = {
        situation: encode(
          defaultSpec,
          {},
          ids.map((id) => ({ id })),
        ),
        odds: [0.8, 0.2],
        serving: [0.8, 0.2],
      };
      return { ...each, chosen, probability: chosen === 0 ? 0.8 : 0.2, reward: random() < 0.6 ? 1 : 0 };
    });
    near(evaluate(once).regret ?? Number.NaN, 0, 0.03);
  });

  it("tell no regret where nothing was chosen often enough", () => {
    assert.equal(evaluate(log(25, better, 1)).regret, undefined);
  });

  it("tell how far the expected rewards are from those that came", () => {
    assert.ok(evaluate(log(4_000, serving, 1)).reward_calibration_error < 0.05);
    const wrong = log(4_000, serving, 1).map((outcome) => ({ steps: [outcome], returns: [[0.5, 0.2, 0.8]] }));
    // Too high by 0.3 at the first, too low by 0.3 at the second, right at the third.
    near(figuresOf(wrong, new Float64Array(wrong.length), 20).reward_calibration_error, 0.9 * 0.3, 0.03);
  });
});

describe("intervals", () => {
  it("narrow with the square root of the sample", () => {
    const random = seededRandom(1);
    const sample = (count: number) => Float64Array.from({ length: count }, () => normal(random) / 5);
    const width = ([low, high]: readonly [number, number]) => high - low;
    const [few, many] = [sample(400), sample(6_400)];
    near(width(bootstrapInterval(few, 1)) / width(bootstrapInterval(many, 1)), 4, 0.6);
  });

  it("are longer on the side of the tail", () => {
    const random = seededRandom(2);
    const skewed = Float64Array.from({ length: 300 }, () => (random() < 0.05 ? 20 : 0));
    const mean = skewed.reduce((sum, value) => sum + value, 0) / skewed.length;
    const [low, high] = bootstrapInterval(skewed, 1);
    assert.ok(high - mean > mean - low);
  });
});
