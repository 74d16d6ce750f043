/** Contextual problems with known expected rewards: how much less than equal odds the default policy loses. */
import { normal, type Random, seededRandom } from "../../../modules/policy/chance.ts";
import { thompson } from "../../../modules/policy/policies/thompson.ts";
import { type Bandit, type Played, play, playBestFixed, playInformed, regretShare } from "../bandit.ts";
import type { Goal, Measures, Problem } from "../problem.ts";

const noise = 0.2;
const numbered = (count: number) => Array.from({ length: count }, (_, index) => ({ id: `arm-${index}` }));
const vector = (length: number, random: Random) => Array.from({ length }, () => normal(random));
const dot = (left: readonly number[], right: readonly number[]) =>
  left.reduce((total, value, index) => total + value * (right[index] as number), 0);
const named = (values: readonly number[]) => Object.fromEntries(values.map((value, index) => [`x${index}`, value]));
const noisy = (expected: readonly number[], random: Random) => (index: number) =>
  Math.max(-1, Math.min(1, (expected[index] as number) + noise * normal(random)));
const succeeds = (expected: readonly number[], random: Random) => (index: number) => (random() < (expected[index] as number) ? 1 : 0);

function unit(length: number, random: Random): number[] {
  const drawn = vector(length, random);
  const norm = Math.hypot(...drawn);
  return drawn.map((value) => value / norm);
}

/** Each arm weighs the numbers of the context in its own way, and from `changesAt` on in another. */
function linear(seed: number, { arms = 5, dimensions = 6, rounds = 3_000, changesAt = Number.POSITIVE_INFINITY } = {}): Bandit {
  const random = seededRandom(seed);
  const [before, after] = [1, 2].map(() => Array.from({ length: arms }, () => unit(dimensions, random)));
  return {
    rounds,
    round(index) {
      const x = vector(dimensions, random);
      const expected = ((index < changesAt ? before : after) as number[][]).map((weights) => 0.4 * dot(weights, x));
      return { context: named(x), candidates: numbered(arms), expected, reward: noisy(expected, random) };
    },
  };
}

/** Candidates that are new in every round, told apart by their features alone. */
function described(seed: number): Bandit {
  const random = seededRandom(seed);
  const weights = unit(8, random);
  return {
    rounds: 2_000,
    round(round) {
      const features = Array.from({ length: 10 }, () => vector(8, random));
      const expected = features.map((values) => 0.4 * dot(weights, values));
      const candidates = features.map((values, index) => ({ id: `new-${round}-${index}`, features: named(values) }));
      return { context: {}, candidates, expected, reward: noisy(expected, random) };
    },
  };
}

/** Rewards are waves over the context: no plane through it tells the arms apart. */
function curved(seed: number): Bandit {
  const random = seededRandom(seed);
  const directions = Array.from({ length: 4 }, () => unit(3, random));
  return {
    rounds: 5_000,
    round() {
      const x = Array.from({ length: 3 }, () => 2 * random() - 1);
      const expected = directions.map((direction) => 0.5 * Math.cos(3 * dot(direction, x)));
      return { context: named(x), candidates: numbered(directions.length), expected, reward: noisy(expected, random) };
    },
  };
}

/** Two switches of which neither says anything without the other. */
function exclusiveOr(seed: number): Bandit {
  const random = seededRandom(seed);
  return {
    rounds: 3_000,
    round() {
      const [left, right, other] = [random() < 0.5, random() < 0.5, random() < 0.5];
      const expected = left === right ? [0.8, 0.2, 0.5] : [0.2, 0.8, 0.5];
      return { context: { left, right, other }, candidates: numbered(3), expected, reward: succeeds(expected, random) };
    },
  };
}

const arrivesAt = 2_000;

/** Five arms, and from `arrivesAt` on one that is better than all of them. */
function arrival(seed: number): Bandit {
  const random = seededRandom(seed);
  const means = [0.3, 0.35, 0.4, 0.45, 0.5];
  return {
    rounds: 2 * arrivesAt,
    round(index) {
      const kind = random() < 0.5 ? "short" : "long";
      const expected = (index < arrivesAt ? means : [...means, 0.7]).map((mean) => mean + (kind === "short" ? 0.05 : 0));
      const candidates = [...numbered(means.length), ...(index < arrivesAt ? [] : [{ id: "newcomer" }])];
      return { context: { kind }, candidates, expected, reward: succeeds(expected, random) };
    },
  };
}

/** Outcomes come 1 to 100 rounds late, and three in ten never. */
function late(seed: number): Bandit {
  const random = seededRandom(seed + 1_000);
  const bandit = linear(seed);
  return {
    rounds: bandit.rounds,
    round: (index) => ({ ...bandit.round(index), delay: random() < 0.3 ? Number.POSITIVE_INFINITY : 1 + Math.floor(100 * random()) }),
  };
}

const leastGoal: Goal = { measure: "regret_of_thompson", atMost: 0.25 };

/** Regrets are shares of that of equal odds, over all rounds. */
function problem(
  name: string,
  description: string,
  make: (seed: number) => Bandit,
  goals: readonly Goal[] = [],
  more?: (played: readonly Played[]) => Measures,
): Problem {
  return {
    name,
    description,
    goals: [leastGoal, ...goals],
    run(seed) {
      const played = play(thompson, make(seed), seed);
      return {
        regret_of_thompson: regretShare(played),
        regret_with_full_information: regretShare(playInformed(thompson, make(seed), seed)),
        regret_of_best_fixed: regretShare(playBestFixed(make(seed))),
        ...more?.(played),
      };
    },
  };
}

const driftAt = 2_000;
/** Rounds after the drift within which the policy has to be good again. */
const recovery = 500;

export const synthetic: readonly Problem[] = [
  problem("linear", "5 arms, each linear in 6 numbers; regret as a share of uniform's", (seed) => linear(seed)),
  problem("curved", "4 arms, each a wave over 3 numbers", curved),
  problem("exclusive-or", "3 arms, two switches that only count together", exclusiveOr),
  problem("twenty-arms", "20 arms, each linear in 5 numbers", (seed) => linear(seed, { arms: 20, dimensions: 5, rounds: 6_000 })),
  problem("described", "10 candidates that are new in each round, known by 8 features", described),
  problem(
    "drift",
    `all arms change after ${driftAt} rounds`,
    (seed) => linear(seed, { rounds: 2 * driftAt, changesAt: driftAt }),
    [{ measure: "regret_of_the_100_after_recovery", atMost: 0.25 }],
    (played) => ({
      regret_of_the_100_before_drift: regretShare(played.slice(driftAt - 100, driftAt)),
      regret_of_the_100_after_recovery: regretShare(played.slice(driftAt + recovery, driftAt + recovery + 100)),
    }),
  ),
  problem(
    "newcomer",
    `a better arm appears after ${arrivesAt} rounds`,
    arrival,
    [{ measure: "share_of_the_newcomer_from_200_to_300", atLeast: 0.5 }],
    (played) => ({
      share_of_the_newcomer_from_200_to_300:
        played.slice(arrivesAt + 200, arrivesAt + 300).filter(({ chosen }) => chosen === "newcomer").length / 100,
    }),
  ),
  problem("late", "as linear, outcomes 1 to 100 rounds late, three in ten missing", late),
];
