import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { draw, normal, seededRandom } from "../../modules/policy/chance.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import type { Features } from "../../modules/policy/features/walk.ts";
import { bestOdds } from "../../modules/policy/linear/best-odds.ts";
import { createModel, learn, predict } from "../../modules/policy/linear/model.ts";
import { linucb } from "../../modules/policy/policies/linucb.ts";
import type { Candidate, Policy } from "../../modules/policy/policies/policy.ts";
import { packState, unpackState } from "../../modules/policy/policies/state.ts";
import { thompson } from "../../modules/policy/policies/thompson.ts";

const options = { spec: defaultSpec, seed: 1 };
const near = (left: number, right: number, tolerance: number) => assert.ok(Math.abs(left - right) <= tolerance, `${left} is not ${right}`);

/** Plays rounds with one policy. @returns whether the best candidate was chosen, by round */
function play(
  policy: Policy,
  rounds: number,
  ask: (round: number) => { context: Features; candidates: readonly Candidate[]; means: readonly number[] },
  seed = 3,
) {
  const random = seededRandom(seed);
  return Array.from({ length: rounds }, (_, round) => {
    const { context, candidates, means } = ask(round);
    const situation = encode(defaultSpec, context, candidates);
    const { probabilities } = policy.odds(situation);
    const chosen = draw(probabilities, random());
    const reward = (means[chosen] as number) + 0.1 * normal(random);
    policy.observe?.({ situation, chosen, probability: probabilities[chosen] as number, reward });
    return means[chosen] === Math.max(...means);
  });
}
const share = (results: readonly boolean[]) => results.filter(Boolean).length / results.length;
const arms = ["a", "b", "c"].map((id) => ({ id }));

describe("bestOdds", () => {
  it("is what sampling comes to", () => {
    const random = seededRandom(5);
    for (const count of [2, 3, 10, 50]) {
      const means = Array.from({ length: count }, () => normal(random));
      const variances = Array.from({ length: count }, () => random() + 0.01);
      const wins = new Float64Array(count);
      const samples = 20_000;
      for (let sample = 0; sample < samples; sample++) {
        const values = means.map((mean, index) => mean + Math.sqrt(variances[index] as number) * normal(random));
        const best = values.indexOf(Math.max(...values));
        wins[best] = (wins[best] as number) + 1;
      }
      bestOdds(means, variances).forEach((odds, index) => {
        near(odds, (wins[index] as number) / samples, 0.02);
      });
    }
  });

  it("adds up to 1 for certainties, ties, great differences and a single one", () => {
    for (const [means, variances] of [
      [
        [1, 0],
        [0, 0],
      ],
      [
        [1, 1],
        [0, 0],
      ],
      [
        [0, 1e6],
        [1, 1e-12],
      ],
      [[0.3], [0.1]],
      [
        [0, 0.001, 5],
        [100, 1e-9, 1e-9],
      ],
    ] as const) {
      near(
        bestOdds(means, variances).reduce((sum, odds) => sum + odds, 0),
        1,
        1e-9,
      );
    }
    assert.deepEqual(bestOdds([1, 1], [0.2, 0.2]), [0.5, 0.5]);
  });
});

describe("a saved linear model", () => {
  it("is refused when its figures or dimensions are not those of one, though its checksum is right", () => {
    const { header, vectors } = unpackState<object>(thompson.create(options).save(), "thompson", defaultSpec.version);
    const packed = (figures: unknown, blocks: readonly Float64Array[]) => packState("thompson", defaultSpec.version, figures, blocks);
    assert.doesNotThrow(() => thompson.load(packed(header, vectors), options));
    const noiseless = { ...header, noiseVariance: 0 };
    for (const forged of [
      packed({}, vectors),
      packed(noiseless, vectors),
      packed(header, []),
      packed({ ...header, own: [["a", 0.1, 0]] }, vectors),
    ]) {
      assert.throws(() => thompson.load(forged, options), { code: "POLICY_STATE_INVALID" });
    }
  });

  it("stays bounded, however many names come and go", () => {
    const policy = thompson.create(options);
    const meet = (from: number, to: number) => {
      for (let index = from; index < to; index++) {
        policy.observe?.({ situation: encode(defaultSpec, {}, [{ id: `name-${index}` }]), chosen: 0, probability: 1, reward: 0.5 });
      }
      return policy.save().length;
    };
    const full = meet(1_000, 1_300);
    assert.ok(Math.abs(meet(1_300, 2_300) - full) < 0.01 * full);
  });

  it("has no parts by name where names are no features", () => {
    const nameless = { ...options, spec: { ...defaultSpec, identity: false } };
    const policy = linucb.create(nameless);
    play(policy, 50, () => ({ context: {}, candidates: arms, means: [1, 0, 0] }));
    const { scores } = linucb.load(policy.save(), nameless).odds(encode(nameless.spec, {}, arms));
    assert.equal(new Set(scores).size, 1);
  });
});

describe("the linear model", () => {
  it("expects of a candidate never seen what its features say, and is less sure of it", () => {
    const model = createModel(defaultSpec);
    const random = seededRandom(2);
    for (let round = 0; round < 500; round++) {
      const id = `k${round % 20}`;
      const skill = (round % 20) / 20;
      learn(model, encode(defaultSpec, {}, [{ id, features: { skill } }]), 0, skill + 0.05 * normal(random));
    }
    const [fresh, known] = predict(
      model,
      encode(defaultSpec, {}, [
        { id: "new", features: { skill: 0.8 } },
        { id: "k15", features: { skill: 0.75 } },
      ]),
    );
    near(fresh?.mean as number, 0.8, 0.15);
    near(known?.mean as number, 0.75, 0.1);
    assert.ok((fresh?.variance as number) > (known?.variance as number));
  });

  it("does not explore names that never come again, once features say all", () => {
    const random = seededRandom(4);
    const policy = thompson.create(options);
    const results = play(policy, 600, (round) => {
      const skills = Array.from({ length: 5 }, () => random());
      return { context: {}, candidates: skills.map((skill, index) => ({ id: `${round}-${index}`, features: { skill } })), means: skills };
    });
    assert.ok(share(results.slice(-200)) > 0.75, `${share(results.slice(-200))}`);
  });
});

for (const kind of [thompson, linucb]) {
  describe(kind.name, () => {
    it("gives every candidate odds of at least 1 % shared by all", () => {
      const policy = kind.create(options);
      play(policy, 1_000, () => ({ context: {}, candidates: arms, means: [0.9, 0.1, 0.1] }));
      const { probabilities } = policy.odds(encode(defaultSpec, {}, arms));
      for (const odds of probabilities) assert.ok(odds >= 0.01 / 3 - 1e-12);
      assert.ok((probabilities[0] as number) > 0.9);
    });

    it("finds the new best after everything changed", () => {
      const policy = kind.create(options);
      const means = (round: number) => (round < 1_000 ? [0.8, 0.2, 0.4] : [0.2, 0.8, 0.4]);
      const results = play(policy, 1_500, (round) => ({ context: { size: round % 5 }, candidates: arms, means: means(round) }));
      assert.ok(share(results.slice(800, 1_000)) > 0.8);
      assert.ok(share(results.slice(-200)) > 0.7, `${share(results.slice(-200))}`);
    });

    it("gives a better newcomer the majority", () => {
      const policy = kind.create(options);
      const results = play(policy, 800, (round) => {
        const isThere = round >= 500;
        return {
          context: {},
          candidates: isThere ? [...arms, { id: "new" }] : arms,
          means: isThere ? [0.5, 0.4, 0.3, 0.8] : [0.5, 0.4, 0.3],
        };
      });
      assert.ok(share(results.slice(-100)) > 0.5);
    });

    it("names the features that weighed most", () => {
      const policy = kind.create(options);
      const candidates = [
        { id: "small", features: { tags: ["fast"] } },
        { id: "large", features: { tags: ["careful"] } },
      ];
      play(policy, 400, (round) => {
        const task = round % 2 === 0 ? "proof" : "chat";
        return { context: { task, noise: (round % 7) / 7 }, candidates, means: task === "proof" ? [0.1, 0.9] : [0.8, 0.7] };
      });
      const reason = policy.odds(encode(defaultSpec, { task: "proof", noise: 0.5 }, candidates)).reason(1);
      assert.match(reason, /^best: expected reward 0\.[789]\d* ± /);
      assert.match(reason, /task=proof \+0\.\d+/);
    });
  });
}

describe("uncertainty about an outcome", () => {
  it("keeps the odds open until there is evidence, and closes them with it", () => {
    const policy = thompson.create(options);
    const odds = () => policy.odds(encode(defaultSpec, {}, arms)).probabilities;
    for (const each of odds()) near(each, 1 / 3, 1e-6);
    play(policy, 10, () => ({ context: {}, candidates: arms, means: [0.6, 0.5, 0.5] }));
    assert.ok(Math.max(...odds()) < 0.95);
    play(policy, 1_000, () => ({ context: {}, candidates: arms, means: [0.6, 0.5, 0.5] }));
    assert.ok((odds()[0] as number) > 0.9);
  });

  it("is little where rewards vary little: what is clearly worse is hardly tried any more, after a few tries", () => {
    const policy = thompson.create(options);
    const random = seededRandom(6);
    for (let round = 0; round < 300; round++) {
      const situation = encode(defaultSpec, { size: random() }, arms);
      const { probabilities } = policy.odds(situation);
      const chosen = draw(probabilities, random());
      const reward = ([0.45, 0.44, 0][chosen] as number) + 0.01 * normal(random);
      policy.observe?.({ situation, chosen, probability: probabilities[chosen] as number, reward });
    }
    const { probabilities } = policy.odds(encode(defaultSpec, { size: 0.5 }, arms));
    assert.ok((probabilities[2] as number) < 0.005, `${probabilities[2]}`);
  });
});
