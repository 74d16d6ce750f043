/** Contextual problems with known expected rewards: what a policy loses against the best choice of each round. */
import { normal, type Random, seededRandom } from "../../../modules/policy/chance.ts";
import type { Bandit, Round } from "../bandit.ts";

const noise = 0.2;
const numbered = (count: number) => Array.from({ length: count }, (_, index) => ({ id: `arm-${index}` }));
const vector = (length: number, random: Random) => Array.from({ length }, () => normal(random));
const unit = (length: number, random: Random) => {
  const drawn = vector(length, random);
  const norm = Math.hypot(...drawn);
  return drawn.map((value) => value / norm);
};
const dot = (left: readonly number[], right: readonly number[]) =>
  left.reduce((total, value, index) => total + value * (right[index] as number), 0);
const named = (values: readonly number[]) => Object.fromEntries(values.map((value, index) => [`x${index}`, value]));
const noisy = (expected: readonly number[], random: Random) => (index: number) =>
  Math.max(-1, Math.min(1, (expected[index] as number) + noise * normal(random)));

/** Each arm weighs the numbers of the context in its own way. */
export function linear(seed: number, { arms = 5, dimensions = 6, rounds = 3_000, changesAt = Number.POSITIVE_INFINITY } = {}): Bandit {
  const random = seededRandom(seed);
  const before = Array.from({ length: arms }, () => unit(dimensions, random));
  const after = Array.from({ length: arms }, () => unit(dimensions, random));
  return {
    rounds,
    round(index) {
      const x = vector(dimensions, random);
      const expected = (index < changesAt ? before : after).map((weights) => 0.4 * dot(weights, x));
      return { context: named(x), candidates: numbered(arms), expected, reward: noisy(expected, random) };
    },
  };
}

/** Candidates that are new in every round, told apart by their features alone. */
export function described(seed: number): Bandit {
  const random = seededRandom(seed);
  const dimensions = 8;
  const weights = unit(dimensions, random);
  return {
    rounds: 2_000,
    round(round) {
      const features = Array.from({ length: 10 }, () => vector(dimensions, random));
      const expected = features.map((values) => 0.4 * dot(weights, values));
      const candidates = features.map((values, index) => ({ id: `new-${round}-${index}`, features: named(values) }));
      return { context: {}, candidates, expected, reward: noisy(expected, random) };
    },
  };
}

/** Rewards are waves over the context; no line through it tells the arms apart. */
export function nonLinear(seed: number): Bandit {
  const random = seededRandom(seed);
  const dimensions = 3;
  const directions = Array.from({ length: 4 }, () => unit(dimensions, random));
  return {
    rounds: 5_000,
    round() {
      const x = Array.from({ length: dimensions }, () => 2 * random() - 1);
      const expected = directions.map((direction) => 0.5 * Math.cos(3 * dot(direction, x)));
      return { context: named(x), candidates: numbered(directions.length), expected, reward: noisy(expected, random) };
    },
  };
}

/** Two switches of which neither says anything without the other. */
export function exclusiveOr(seed: number): Bandit {
  const random = seededRandom(seed);
  return {
    rounds: 3_000,
    round() {
      const [left, right] = [random() < 0.5, random() < 0.5];
      const expected = [left === right ? 0.8 : 0.2, left === right ? 0.2 : 0.8, 0.5];
      const reward = (index: number) => (random() < (expected[index] as number) ? 1 : 0);
      return { context: { left, right, other: random() < 0.5 }, candidates: numbered(3), expected, reward };
    },
  };
}

/** Five arms without context, one of them better; at `arrival` one comes that is better than all. */
export function arrival(seed: number, { rounds = 4_000, at = 2_000 } = {}): Bandit {
  const random = seededRandom(seed);
  const means = [0.3, 0.35, 0.4, 0.45, 0.5];
  return {
    rounds,
    round(index): Round {
      const kind = random() < 0.5 ? "short" : "long";
      const shift = kind === "short" ? 0.05 : 0;
      const expected = (index < at ? means : [...means, 0.7]).map((mean) => mean + shift);
      const candidates = [...numbered(means.length), ...(index < at ? [] : [{ id: "newcomer" }])];
      const reward = (chosen: number) => (random() < (expected[chosen] as number) ? 1 : 0);
      return { context: { kind }, candidates, expected, reward };
    },
  };
}

/** Outcomes come 1 to 100 rounds late, and three in ten never. */
export function late(seed: number): Bandit {
  const random = seededRandom(seed + 1);
  const bandit = linear(seed);
  return {
    rounds: bandit.rounds,
    round(index) {
      const round = bandit.round(index);
      return { ...round, delay: random() < 0.3 ? Number.POSITIVE_INFINITY : 1 + Math.floor(100 * random()) };
    },
  };
}
