import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { draw, seededRandom } from "../../modules/policy/chance.ts";
import { encode, originOf } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import type { Features } from "../../modules/policy/features/walk.ts";
import { softmax } from "../../modules/policy/neural/arithmetic.ts";
import { tellReason } from "../../modules/policy/neural/reason.ts";
import { KnownValues } from "../../modules/policy/policies/known-values.ts";
import { linucb } from "../../modules/policy/policies/linucb.ts";
import type { Candidate, PolicyKind, Situation } from "../../modules/policy/policies/policy.ts";
import { thompson } from "../../modules/policy/policies/thompson.ts";

interface World {
  candidates(random: () => number): readonly Candidate[];
  context(random: () => number): Features;
  /** Odds of success. */
  success(context: Features, candidate: Candidate): number;
}

const seeds = Array.from({ length: 10 }, (_, index) => index + 1);
const rounds = 600;
const either = (random: () => number, ...values: readonly string[]) => values[Math.floor(values.length * random())];

/** What is said of the choices of a policy that was taught by even odds: of what is drawn, and of what is best. */
function reasonsIn(kind: PolicyKind, world: World, seed: number) {
  const random = seededRandom(seed);
  const policy = kind.create({ spec: defaultSpec, seed });
  for (let round = 0; round < rounds; round++) {
    const [context, candidates] = [world.context(random), world.candidates(random)];
    const situation = encode(defaultSpec, context, candidates);
    policy.odds(situation);
    const chosen = Math.floor(candidates.length * random());
    const reward = random() < world.success(context, candidates[chosen] as Candidate) ? 1 : 0;
    policy.observe?.({ situation, chosen, probability: 1 / candidates.length, reward });
  }
  return Array.from({ length: 20 }, () => {
    const { probabilities, scores, reason } = policy.odds(encode(defaultSpec, world.context(random), world.candidates(random)));
    return { drawn: reason(draw(probabilities, random())), best: reason(scores.indexOf(Math.max(...scores))) };
  });
}

for (const kind of [thompson, linucb]) {
  describe(`the reason of ${kind.name}`, () => {
    it("never names what raises all candidates alike, nor what is the same for both", () => {
      const world: World = {
        candidates: () => ["a", "b"].map((id) => ({ id, features: { cost: 0.2, tags: ["common"] } })),
        context: (random) => ({ weather: either(random, "fine", "foul") }),
        success: ({ weather }, { id }) => (weather === "fine" ? 0.75 : 0.15) + (id === "a" ? 0.15 : 0),
      };
      for (const seed of seeds) {
        for (const { drawn, best } of reasonsIn(kind, world, seed)) {
          assert.doesNotMatch(drawn, /weather|cost|tags/, `seed ${seed}`);
          assert.match(best, /^best: .* more than \w; mostly from its own record \+/);
        }
      }
    });

    it("names first the feature of the context that decides", () => {
      const world: World = {
        candidates: () => ["a", "b"].map((id) => ({ id, features: { cost: 0.2 } })),
        context: (random) => ({ task: either(random, "proof", "chat"), weather: either(random, "fine", "foul") }),
        success: ({ task }, { id }) => ((task === "proof") === (id === "a") ? 0.9 : 0.2),
      };
      for (const { best } of seeds.flatMap((seed) => reasonsIn(kind, world, seed))) assert.match(best, /mostly from task=(proof|chat) \+/);
    });

    it("names first the feature of the candidates that decides", () => {
      const world: World = {
        candidates: (random) =>
          [0, 0.3, 0.6, 1].map((skill) => ({ id: `${random()}`, features: { skill, color: either(random, "red", "blue") } })),
        context: (random) => ({ weather: either(random, "fine", "foul"), size: random() }),
        success: (_, { features }) => 0.1 + 0.8 * (features?.skill as number),
      };
      for (const { best } of seeds.flatMap((seed) => reasonsIn(kind, world, seed))) assert.match(best, /mostly from its skill \+/);
    });

    it("says that a choice was exploration, of which candidate more is expected and how much", () => {
      const policy = kind.create({ spec: defaultSpec, seed: 1 });
      const candidates = ["good", "bad"].map((id) => ({ id }));
      const situation = encode(defaultSpec, {}, candidates);
      for (let round = 0; round < 200; round++) {
        policy.observe?.({ situation, chosen: round % 2, probability: 0.5, reward: round % 2 === 0 ? 0.9 : 0.1 });
      }
      const { reason } = policy.odds(situation);
      assert.match(reason(0), /^best: expected reward 0\.\d+ ± 0\.\d+, 0\.[78]\d* more than bad; mostly from its own record \+0\.[78]/);
      assert.match(reason(1), /^explored: expected reward 0\.\d+ ± 0\.\d+, 0\.[78]\d* less than good; mostly from its own record −0\.[78]/);
    });

    it("says that there was no choice, or no difference", () => {
      const policy = kind.create({ spec: defaultSpec, seed: 1 });
      assert.equal(policy.odds(encode(defaultSpec, {}, [{ id: "a" }])).reason(0), "the only candidate: there was no choice");
      const { reason } = policy.odds(encode(defaultSpec, {}, [{ id: "a" }, { id: "b" }]));
      assert.match(reason(0), /^drawn from equals: .* as much as b; no feature made a clear difference$/);
    });
  });
}

describe("the reason of a network", () => {
  const candidates: Candidate[] = [
    { id: "a", features: { cost: 0.2, skill: 0.9 } },
    { id: "b", features: { cost: 0.2, skill: 0.4 } },
    { id: "c", features: { cost: 0.2, skill: 0.1 } },
  ];
  const of = (index: number, situation: Situation) => {
    const { context, candidates: asked } = originOf(situation) as NonNullable<ReturnType<typeof originOf>>;
    const { id, features } = asked[index] as Candidate;
    return { context, id, skill: Number(features?.skill ?? 0), best: Math.max(...asked.map((each) => Number(each.features?.skill ?? 0))) };
  };
  /** A network whose logits are known. */
  const explain = (logit: (seen: ReturnType<typeof of>) => number, context: Features, together: boolean, chosen: number) => {
    const known = new KnownValues();
    for (const weather of ["fine", "foul"]) known.note({ weather, place: "here" });
    let passes = 0;
    const score = (situation: Situation) => {
      passes++;
      return Float32Array.from(situation.ids, (_, index) => logit(of(index, situation)));
    };
    const situation = encode(defaultSpec, context, candidates);
    const logits = score(situation);
    passes = 0;
    const reason = tellReason({ situation, probabilities: softmax(logits), logits, together, score }, chosen, known);
    return { reason, passes };
  };

  it("names what decides, by how much, and nothing that is the same for both or raises both alike", () => {
    const { reason } = explain(
      ({ context, skill }) => 4 * skill + (context.weather === "fine" ? 2 : 0),
      { weather: "fine", place: "here" },
      false,
      0,
    );
    assert.equal(reason, "best: odds of 85.0 % against 11.5 % for b; in log odds mostly from its skill +2.000");
  });

  it("names the context where it decides, and the candidate's own record", () => {
    const { reason } = explain(
      ({ context, id }) => (id === "a" ? 1 : 0) + ((context.weather === "fine") === (id === "a") ? 3 : 0),
      { weather: "fine", place: "here" },
      false,
      0,
    );
    assert.match(reason, /mostly from its own record \+4\.000, weather=fine \+3\.000$/);
  });

  it("sees each candidate beside all others, where the network does", () => {
    // Only who is best of all counts: among the explored one and its rival alone nothing would.
    const logit = ({ skill, best }: { skill: number; best: number }) => (skill === best ? 5 : skill === 0.4 ? 1 : 0);
    const { reason } = explain(logit, { weather: "fine" }, true, 1);
    assert.match(reason, /^explored: odds of 1\.8 % against 97\.6 % for a; in log odds mostly from its skill −4\.000$/);
  });

  it("scores no more than 48 candidates, however many there are and however much there is to explain", () => {
    for (const [count, keys] of [
      [50, 60],
      [256, 3],
      [3, 60],
    ] as const) {
      const features = (shift: number) => Object.fromEntries(Array.from({ length: keys }, (_, index) => [`f${index}`, index + shift]));
      const many = Array.from({ length: count }, (_, index) => ({ id: `c${index}`, features: features(index) }));
      const situation = encode(defaultSpec, {}, many);
      for (const together of [true, false]) {
        let scored = 0;
        const score = ({ ids }: Situation) => {
          scored += ids.length;
          return new Float32Array(ids.length);
        };
        const explained = { situation, probabilities: many.map(() => 1 / count), logits: many.map(() => 0), together, score };
        tellReason(explained, 0, new KnownValues());
        const all = together ? 48 : Math.min(48, 2 * (keys + 2));
        assert.ok(scored <= all && scored > all - count, `${count} candidates, ${keys} features: ${scored}`);
      }
    }
  });

  it("asks a transformer about the two beside the next best of many", () => {
    const many = Array.from({ length: 100 }, (_, index) => ({ id: `c${index}`, features: { skill: index } }));
    const situation = encode(defaultSpec, {}, many);
    const seen = new Set<string>();
    const score = ({ ids }: Situation) => {
      for (const id of ids) seen.add(id);
      return new Float32Array(ids.length);
    };
    const logits = many.map((_, index) => index);
    tellReason({ situation, probabilities: many.map(() => 0.01), logits, together: true, score }, 40, new KnownValues());
    assert.deepEqual([...seen].sort(), ["c40", ...Array.from({ length: 15 }, (_, index) => `c${99 - index}`)].sort());
  });
});

describe("known values", () => {
  it("are the last few of each key, the present one left out; of texts none is like another", () => {
    const known = new KnownValues();
    for (const size of [1, 2, 3, 4, 5, 5, 2]) known.note({ size, text: `so many ${size}`, kind: "same" });
    assert.deepEqual(known.others("size", 2), [4, 5]);
    assert.deepEqual(known.others("kind", "same"), []);
    assert.deepEqual(known.others("text", "some more words"), [undefined]);
    assert.deepEqual(known.others("unknown", 1), []);
  });

  it("stay bounded, however many keys come and go", () => {
    const known = new KnownValues();
    for (let index = 0; index < 1_000; index++) known.note({ [`key-${index}`]: index });
    assert.deepEqual([known.others("key-0", undefined), known.others("key-999", undefined)], [[], [999]]);
  });
});
