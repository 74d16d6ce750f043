/** What every policy keeps, whatever it learns by. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import { draw, seededRandom } from "../../modules/policy/chance.ts";
import { featureChoice, specOf } from "../../modules/policy/features/choice.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { digestOf } from "../../modules/policy/features/texts.ts";
import type { Features } from "../../modules/policy/features/walk.ts";
import { kinds } from "../../modules/policy/policies/kinds.ts";
import type { Experience, Policy, PolicyKind } from "../../modules/policy/policies/policy.ts";
import { packState, unpackState } from "../../modules/policy/policies/state.ts";
import { uniform } from "../../modules/policy/policies/uniform.ts";

const options = { spec: defaultSpec, seed: 7 };
const candidates = ["red", "green", "blue"].map((id, index) => ({
  id,
  features: { cost: index, tags: ["color", id], text: "a short text" },
}));
const situationOf = (context: Features, chosenFrom = candidates) => encode(defaultSpec, context, chosenFrom);
const refused = (error: unknown) => error instanceof CodedError && error.code === "POLICY_STATE_INVALID";

const best = { morning: "green", evening: "blue" } as const;

/** What the policy chooses; green is best in the morning, blue in the evening. One that learns as it goes does so. */
function play(policy: Policy, rounds: number, seed = 1): Experience[] {
  const random = seededRandom(seed);
  return Array.from({ length: rounds }, () => {
    const time = random() < 0.5 ? "morning" : "evening";
    const situation = situationOf({ time });
    const { probabilities } = policy.odds(situation);
    const chosen = draw(probabilities, random());
    const desirable = situation.ids[chosen] === best[time];
    const experience = { situation, chosen, probability: probabilities[chosen] as number, reward: desirable ? 1 : 0, desirable };
    policy.observe?.(experience);
    return experience;
  });
}

/** A policy that goes on from another, with what came of its choices. */
async function taught(kind: PolicyKind, policy: Policy, rounds: number, seed = 1): Promise<Policy> {
  const experiences = play(policy, rounds, seed);
  return kind.train === undefined ? policy : (await kind.train(experiences, { ...options, from: policy.save() })).policy;
}

for (const kind of Object.values(kinds)) {
  const taughtAnew = () => taught(kind, kind.create(options), 200);
  /** One that is taught as it goes is another for each test. */
  const trained = kind.train && taughtAnew();
  const learned = (): Promise<Policy> => trained ?? taughtAnew();

  describe(kind.name, () => {
    it("gives each candidate odds that add up to 1, a finite score and a reason", async () => {
      for (const policy of [kind.create(options), await learned()]) {
        const { probabilities, scores, reason } = policy.odds(situationOf({ time: "morning" }));
        assert.equal(probabilities.length, candidates.length);
        assert.ok(probabilities.every((probability) => probability >= 0 && probability <= 1));
        assert.ok(Math.abs(probabilities.reduce((sum, probability) => sum + probability, 0) - 1) < 1e-9);
        assert.ok(scores.length === candidates.length && scores.every(Number.isFinite));
        for (const index of candidates.keys()) assert.match(reason(index), /\w{3}/);
      }
    });

    it("learns and is saved under any feature spec, and is of use under that one alone", async () => {
      const text = { embedding: "meaning", dimensions: 3 };
      for (const choice of [
        { context: 32, candidate: 16, waves: 0, products: 16, identity: false },
        { context: 1024, waves: 7, text },
      ]) {
        const other = { spec: specOf(featureChoice.parse(choice)), seed: 7 };
        const vectors = { [digestOf("a short text")]: [0.6, 0, 0.8] };
        const situation = encode(other.spec, { time: "noon", hour: 12 }, candidates, { model: "meaning", dimensions: 3, vectors });
        const experiences = [0, 1, 2, 1].map((chosen) => ({
          situation,
          chosen,
          probability: 1 / 3,
          reward: chosen / 2,
          desirable: chosen > 0,
        }));
        const policy = (await kind.train?.(experiences, other))?.policy ?? kind.create(other);
        for (const experience of experiences) policy.observe?.(experience);
        const { probabilities, scores } = policy.odds(situation);
        assert.ok([...probabilities, ...scores].every(Number.isFinite));
        const bytes = policy.save();
        assert.deepEqual(kind.load(bytes, other).odds(situation).probabilities, probabilities);
        assert.throws(() => kind.load(bytes, options), refused);
      }
    });

    it("can choose a candidate that it never saw, and must choose the only one", async () => {
      const policy = await learned();
      const { probabilities } = policy.odds(
        situationOf({ time: "morning" }, [...candidates, { id: "new", features: { cost: 9, tags: [], text: "" } }]),
      );
      assert.ok((probabilities[3] as number) > 0.001);
      assert.ok(Math.abs((policy.odds(situationOf({}, [{ id: "new" }] as never)).probabilities[0] as number) - 1) < 1e-9);
    });

    it("takes any context and candidates: none, 256, extreme numbers, foreign scripts", async () => {
      const policy = await learned();
      const many = Array.from({ length: 256 }, (_, index) => ({
        id: `${index}`,
        features: { cost: index ** 40, text: "日本語 の テキスト", nothing: null },
      }));
      for (const context of [
        {},
        { a: 1e300, b: -1e300, c: Number.NaN, d: Number.POSITIVE_INFINITY },
        { text: "ß ".repeat(500), list: [[[[1]]]] },
      ]) {
        const situation = encode(defaultSpec, context, many);
        const { probabilities, scores } = policy.odds(situation);
        assert.ok(Math.abs(probabilities.reduce((sum, probability) => sum + probability, 0) - 1) < 1e-9);
        assert.ok(scores.every(Number.isFinite));
        policy.observe?.({ situation, chosen: 3, probability: probabilities[3] as number, reward: -1 });
        assert.ok(policy.odds(situation).scores.every(Number.isFinite));
      }
    });

    it("is not changed by being asked", async () => {
      const policy = await learned();
      const [before, version] = [policy.save(), policy.version];
      const situation = situationOf({ time: "evening" });
      const first = policy.odds(situation);
      const second = policy.odds(situation);
      assert.deepEqual([second.probabilities, second.scores], [first.probabilities, first.scores]);
      assert.deepEqual([policy.save(), policy.version], [before, version]);
    });

    it("has another version after every outcome that it learns from", () => {
      const policy = kind.create(options);
      if (policy.observe === undefined) return;
      const versions = new Set([policy.version]);
      for (let round = 0; round < 20; round++) {
        play(policy, 1, round);
        versions.add(policy.version);
      }
      assert.equal(versions.size, 21);
    });

    it("has another version after another outcome", () => {
      const versions = [0, 1].map((reward) => {
        const policy = kind.create(options);
        policy.observe?.({ situation: situationOf({}), chosen: 1, probability: 0.5, reward });
        return policy.version;
      });
      assert.equal(new Set(versions).size, kind.create(options).observe === undefined ? 1 : 2);
    });

    it("goes on from its saved state as if nothing had happened", async () => {
      const policy = await learned();
      const loaded = kind.load(policy.save(), options);
      assert.equal(loaded.version, policy.version);
      const [gone, goneLoaded] = [await taught(kind, policy, 50, 2), await taught(kind, loaded, 50, 2)];
      assert.deepEqual(goneLoaded.save(), gone.save());
    });

    it("comes to the same bytes from the same seed and outcomes", async () => {
      assert.deepEqual((await taughtAnew()).save(), (await learned()).save());
    });

    it("refuses a state that is corrupt, cut off, empty, of another policy or of another spec", async () => {
      const bytes = (await learned()).save();
      const flipped = Uint8Array.from(bytes);
      flipped[flipped.length - 3] = (flipped[flipped.length - 3] as number) ^ 1;
      const foreign = packState("another", defaultSpec.version, {}, []);
      for (const wrong of [flipped, bytes.subarray(0, bytes.length - 8), new Uint8Array(0), foreign]) {
        assert.throws(() => kind.load(wrong, options), refused);
      }
      assert.throws(() => kind.load(bytes, { ...options, spec: { ...defaultSpec, version: "other" } }), refused);
    });

    it("refuses a state with a number that is none, though its checksum is right", async () => {
      const { header, vectors } = unpackState((await learned()).save(), kind.name, defaultSpec.version);
      const [first] = vectors;
      if (first === undefined) return;
      first[0] = Number.NaN;
      assert.throws(() => kind.load(packState(kind.name, defaultSpec.version, header, vectors), options), refused);
    });

    if (kind !== uniform) {
      it("learns which candidate is best in which context", async () => {
        const policy = kind.train ? await learned() : kind.create(options);
        const results = play(policy, 600).slice(-200);
        assert.ok(results.filter(({ desirable }) => desirable).length > 170);
      });
    }
  });
}
