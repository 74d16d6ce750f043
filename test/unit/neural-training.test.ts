import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CodedError, type ErrorCode } from "../../daemon/errors.ts";
import { draw, seededRandom } from "../../modules/policy/chance.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { loadBackend } from "../../modules/policy/neural/backend.ts";
import { kto, ktoWith } from "../../modules/policy/policies/kto.ts";
import type { Experience, Policy, PolicyKind, TrainOptions } from "../../modules/policy/policies/policy.ts";
import { reinforce } from "../../modules/policy/policies/reinforce.ts";

const options = { spec: defaultSpec, seed: 3 };
const situationOf = (ids: readonly string[], context = {}) =>
  encode(
    defaultSpec,
    context,
    ids.map((id) => ({ id, features: { length: id.length } })),
  );
const arms = situationOf(["good", "bad"], { hour: 3 });

/** Every choice of uniform odds in turn; the first candidate is good. */
const log = (count: number, rewards: readonly number[] = [1, 0]): Experience[] =>
  Array.from({ length: count }, (_, index) => {
    const chosen = index % rewards.length;
    return { situation: arms, chosen, probability: 1 / rewards.length, reward: rewards[chosen] as number };
  });

const train = (kind: PolicyKind, experiences: readonly Experience[], changes: Partial<TrainOptions> = {}) => {
  assert.ok(kind.train);
  return kind.train(experiences, { ...options, ...changes });
};
const oddsOf = (policy: Policy) => policy.odds(arms).probabilities[0] as number;
const coded = (code: ErrorCode) => (error: unknown) => error instanceof CodedError && error.code === code;

/** What a policy did in a two-step task: the first choice decides, the reward comes after the second. */
function episodes(policy: Policy, count: number, seed = 1): Experience[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, number) => {
    let reward = 0;
    return ["first", "second"].map((phase, step): Experience => {
      const situation = situationOf(["good", "bad"], { phase });
      const { probabilities } = policy.odds(situation);
      const chosen = draw(probabilities, random());
      if (step === 0 && chosen === 0) reward = 1;
      const last = step === 1;
      const probability = probabilities[chosen] as number;
      return { situation, chosen, probability, reward: last ? reward : 0, episode: { id: `e${number}`, step, last } };
    });
  }).flat();
}

for (const kind of [ktoWith({ updates: 10 }), reinforce]) {
  const experiencesOf = () => (kind === reinforce ? episodes(kind.create(options), 20) : log(40));

  describe(`training ${kind.name}`, () => {
    it("comes to the same bytes from the same seed and experiences, and to others from another seed", async () => {
      const [first, second] = [await train(kind, experiencesOf()), await train(kind, experiencesOf())];
      assert.deepEqual(first.policy.save(), second.policy.save());
      assert.deepEqual(first.report, second.report);
      assert.notDeepEqual(first.policy.version, kind.create(options).version);
      const other = await train(kind, experiencesOf(), { seed: 4 });
      assert.notDeepEqual(other.policy.save(), first.policy.save());
    });

    it("goes on from a saved state as from one that was never saved", async () => {
      const { policy } = await train(kind, experiencesOf());
      const again = kind === reinforce ? episodes(policy, 20, 2) : log(60);
      const loaded = kind.load(policy.save(), options);
      assert.equal(loaded.version, policy.version);
      assert.deepEqual(loaded.odds(arms).probabilities, policy.odds(arms).probabilities);
      const [gone, goneLoaded] = [await train(kind, again, { from: policy.save() }), await train(kind, again, { from: loaded.save() })];
      assert.deepEqual(gone.policy.save(), goneLoaded.policy.save());
      assert.notEqual(gone.policy.version, policy.version);
    });

    it("reports finite figures", async () => {
      const { report } = await train(kind, experiencesOf());
      for (const name of ["loss", "entropy", "kl", "gradient_norm", "updates"]) assert.ok(Number.isFinite(report[name]), name);
      assert.ok((report.entropy as number) > 0 && (report.entropy as number) <= Math.log(2) + 1e-6);
      assert.ok((report.gradient_norm as number) > 0);
    });

    it("refuses rewards that are no numbers, impossible odds and choices", async () => {
      const [sound, ...others] = experiencesOf() as [Experience, ...Experience[]];
      for (const wrong of [
        { reward: Number.NaN },
        { reward: Number.POSITIVE_INFINITY },
        { probability: 0 },
        { probability: 1.5 },
        { chosen: 2 },
      ]) {
        await assert.rejects(train(kind, [...others, { ...sound, ...wrong }]), coded("REQUEST_INVALID"));
      }
    });

    it("learns nothing, and breaks nothing, where there was but one candidate", async () => {
      const situation = situationOf(["only"]);
      const lonely = [1, 0, 1].map((reward): Experience => ({ situation, chosen: 0, probability: 1, reward }));
      const { policy } = await train(kind, lonely);
      assert.deepEqual(policy.odds(situation).probabilities, [1]);
      assert.ok(Math.abs(oddsOf(policy) - 0.5) < 1e-6);
    });

    it("keeps the odds where all rewards were equal", async () => {
      const { policy } = await train(
        kind,
        experiencesOf().map((experience) => ({ ...experience, reward: 0 })),
      );
      assert.ok(Math.abs(oddsOf(policy) - 0.5) < 1e-6);
    });

    it("is cancelled by its signal, and lets the thread do other things before", async () => {
      const controller = new AbortController();
      const training = train(kind, experiencesOf(), { signal: controller.signal });
      setImmediate(() => controller.abort(new Error("no longer wanted")));
      await assert.rejects(training, /no longer wanted/);
    });

    it("refuses to go on from a state that is damaged or of another shape", async () => {
      const state = (await train(kind, experiencesOf())).policy.save();
      const smaller = { ...defaultSpec, context: defaultSpec.context / 2 };
      assert.throws(() => kind.load(state, { ...options, spec: smaller }), coded("POLICY_STATE_INVALID"));
      state[state.length - 1] = (state[state.length - 1] as number) ^ 1;
      await assert.rejects(train(kind, experiencesOf(), { from: state }), coded("POLICY_STATE_INVALID"));
    });

    it("leaves no tensors behind", async () => {
      await train(kind, experiencesOf());
      const { tf } = await loadBackend();
      const before = tf.memory().numTensors;
      await train(kind, experiencesOf());
      assert.equal(tf.memory().numTensors, before);
    });

    it("says why it chose: against whom, and by which features", async () => {
      const { policy } = await train(kind, experiencesOf());
      const situation = situationOf(["good", "worse"], { hour: 3 });
      const reason = policy.odds(situation).reason(0);
      assert.match(reason, /^odds of [\d.]+ % against [\d.]+ % for worse/);
      assert.match(reason, /weighed most, in log odds: (its length|hour|phase) [+−]\d/);
    });
  });
}

describe("kto", () => {
  it("comes to choose the good one of two arms nearly always", async () => {
    let { policy } = await train(kto, log(100));
    for (let round = 0; round < 2; round++) ({ policy } = await train(kto, log(100), { from: policy.save() }));
    const [good = 0, bad = 0] = policy.odds(arms).scores;
    assert.ok(1 / (1 + Math.exp(bad - good)) > 0.99);
  });

  it("leaves each candidate a share of the odds", async () => {
    const certain = await train(ktoWith({ exploration: 0.1, learningRate: 0.1 }), log(100));
    assert.ok(Math.abs(oddsOf(certain.policy) - 0.95) < 1e-3);
  });

  it("skips what has one class only", async () => {
    const { policy, report } = await train(kto, log(40, [1, 1]));
    assert.equal(report.updates, 0);
    assert.equal(policy.version, kto.create(options).version);
  });

  it("draws both classes alike, however rare one is", async () => {
    const rare = [...log(2), ...Array.from({ length: 198 }, () => log(2)[1] as Experience)];
    const { report } = await train(ktoWith({ updates: 5, batch: 64 }), rare);
    assert.deepEqual([report.desirable, report.undesirable], [1, 199]);
    // One desirable, and 32 draws among the others.
    assert.ok((report.effective_batch as number) > 24 && (report.effective_batch as number) <= 33);
  });

  it("measures against a reference that stays until it is renewed", async () => {
    const kind = ktoWith({ updates: 1, referenceLife: 3 });
    let from: Uint8Array | undefined;
    const divergences: number[] = [];
    for (let update = 0; update < 5; update++) {
      const { policy, report } = await train(kind, log(40), from && { from });
      from = policy.save();
      divergences.push(report.kl as number);
    }
    assert.deepEqual(
      divergences.map((kl) => kl > 1e-7),
      [false, true, true, false, true],
    );
  });

  it("trains a transformer, and serves it from its state whatever the settings are now", async () => {
    const kind = ktoWith({ architecture: { kind: "transformer", width: 16, heads: 2, layers: 1 }, updates: 40, batch: 8 });
    const { policy } = await train(kind, log(40));
    assert.ok(oddsOf(policy) > 0.6);
    assert.equal(kto.load(policy.save(), options).version, policy.version);
  });
});

describe("reinforce", () => {
  it("learns from the trajectories that it drew, once", async () => {
    const policy = reinforce.create(options);
    const drawn = episodes(policy, 30);
    const first = await train(reinforce, drawn, { from: policy.save() });
    assert.deepEqual([first.report.updates, first.report.trajectories, first.report.steps, first.report.stale], [1, 30, 60, 0]);
    const second = await train(reinforce, drawn, { from: first.policy.save() });
    assert.deepEqual([second.report.updates, second.report.trajectories, second.report.stale], [0, 0, 30]);
    assert.equal(second.policy.version, first.policy.version);
  });

  it("leaves out what another policy chose, and learns from the rest", async () => {
    const own = episodes(reinforce.create(options), 10);
    const foreign = log(8).map((experience) => ({ ...experience, probability: 0.7 }));
    const { report } = await train(reinforce, [...own, ...foreign]);
    assert.deepEqual([report.trajectories, report.stale], [10, 8]);
  });

  it("leaves out trajectories with a step missing, doubled, or without an end", async () => {
    const drawn = episodes(reinforce.create(options), 6);
    const [first, second, , fourth, fifth, sixth, seventh] = drawn as [Experience, Experience, ...Experience[]];
    assert.ok(first && second && fourth && fifth && sixth && seventh);
    const { report } = await train(reinforce, [first, second, fourth, fifth, sixth, sixth, seventh, ...drawn.slice(8)]);
    assert.deepEqual([report.trajectories, report.incomplete], [3, 3]);
  });

  it("learns the first step from a reward that comes after the second", async () => {
    let policy = reinforce.create(options);
    for (let update = 0; update < 40; update++) {
      ({ policy } = await train(reinforce, episodes(policy, 10, update), { from: policy.save() }));
    }
    const { probabilities } = policy.odds(situationOf(["good", "bad"], { phase: "first" }));
    assert.ok((probabilities[0] as number) > 0.9);
  });

  it("takes choices without an episode for trajectories of one step", async () => {
    let policy = reinforce.create(options);
    for (let update = 0; update < 30; update++) {
      const random = seededRandom(update);
      const probability = policy.odds(arms).probabilities;
      const chosen = Array.from({ length: 10 }, () => draw(probability, random()));
      const experiences = chosen.map(
        (index): Experience => ({
          situation: arms,
          chosen: index,
          probability: probability[index] as number,
          reward: index === 0 ? 1 : -1,
        }),
      );
      ({ policy } = await train(reinforce, experiences, { from: policy.save() }));
    }
    assert.ok(oddsOf(policy) > 0.9);
  });
});
