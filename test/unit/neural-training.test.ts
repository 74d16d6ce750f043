import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CodedError, type ErrorCode } from "../../daemon/errors.ts";
import { draw, seededRandom } from "../../modules/policy/chance.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { loadBackend } from "../../modules/policy/neural/backend.ts";
import { kto, ktoWith } from "../../modules/policy/policies/kto.ts";
import type { Experience, Policy, PolicyKind, TrainOptions } from "../../modules/policy/policies/policy.ts";
import { reinforce, reinforceWith } from "../../modules/policy/policies/reinforce.ts";

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
    const reward = rewards[chosen] as number;
    return { situation: arms, chosen, probability: 1 / rewards.length, reward, desirable: reward > 0 };
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

for (const kind of [ktoWith({ updates: 10 }), reinforceWith({ updates: 10 })]) {
  const experiencesOf = () => (kind.name === "reinforce" ? episodes(kind.create(options), 20) : log(40));

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
      const again = kind.name === "reinforce" ? episodes(policy, 20, 2) : log(60);
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
      const lonely = [1, 0, 1].map((reward): Experience => ({ situation, chosen: 0, probability: 1, reward, desirable: reward > 0 }));
      const { policy } = await train(kind, lonely);
      assert.deepEqual(policy.odds(situation).probabilities, [1]);
      assert.ok(Math.abs(oddsOf(policy) - 0.5) < 1e-6);
    });

    it("keeps the odds where all rewards were equal", async () => {
      const { policy } = await train(
        kind,
        experiencesOf().map((experience) => ({ ...experience, reward: 0, desirable: undefined })),
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
      assert.match(reason, /odds of [\d.]+ % against [\d.]+ % for worse/);
      assert.match(reason, /in log odds mostly from/);
    });
  });
}

describe("kto", () => {
  it("comes to choose the good one of two arms nearly always", async () => {
    const { policy } = await train(kto, log(100));
    const [good = 0, bad = 0] = policy.odds(arms).scores;
    assert.ok(1 / (1 + Math.exp(bad - good)) > 0.99);
  });

  it("is told nothing about others by the outcomes of a single candidate, however good they are and whatever the context", async () => {
    const only = (good: number) =>
      Array.from({ length: 60 }, (_, index): Experience => {
        const situation = situationOf(["good", "bad"], { part: index % 7 });
        const desirable = index % 10 < good;
        return { situation, chosen: 0, probability: 0.99, reward: desirable ? 1 : 0, desirable };
      });
    for (const good of [5, 9]) {
      const { policy, report } = await train(kto, only(good));
      assert.equal(report.updates, 0);
      assert.ok(Math.abs(oddsOf(policy) - 0.5) < 1e-9);
    }
    const [first, ...others] = only(9) as [Experience, ...Experience[]];
    const { policy } = await train(kto, [{ ...first, chosen: 1, desirable: false }, ...others]);
    assert.ok(oddsOf(policy) > 0.9, "one outcome of the other, and there is something to compare with");
  });

  it("finds the best candidate of easy and of hard contexts, whichever was mostly logged", async () => {
    const success = { easy: [0.95, 0.7], hard: [0.3, 0.1] };
    for (const usual of [0, 1]) {
      const random = seededRandom(5);
      const skewed = Array.from({ length: 3_000 }, (): Experience => {
        const part = random() < 0.5 ? "easy" : "hard";
        const chosen = random() < 0.9 ? usual : 1 - usual;
        const desirable = random() < (success[part][chosen] as number);
        const probability = chosen === usual ? 0.9 : 0.1;
        return { situation: situationOf(["good", "bad"], { part }), chosen, probability, reward: desirable ? 1 : 0, desirable };
      });
      const { policy } = await train(kto, skewed);
      for (const part of ["easy", "hard"]) {
        const { probabilities } = policy.odds(situationOf(["good", "bad"], { part }));
        assert.ok((probabilities[0] as number) > 0.9, `${part}, mostly logged: ${usual === 0 ? "good" : "bad"}: ${probabilities}`);
      }
    }
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

  it("measures against the policy that the training began with, all the time", async () => {
    const [one, many] = [await train(ktoWith({ updates: 1 }), log(40)), await train(ktoWith({ updates: 5 }), log(40))];
    assert.ok(Math.abs(one.report.kl as number) < 1e-7, "before the first update there is no difference");
    const from = many.policy.save();
    const [again, further] = [
      await train(ktoWith({ updates: 1 }), log(40), { from }),
      await train(ktoWith({ updates: 5 }), log(40), { from }),
    ];
    assert.ok(Math.abs(again.report.kl as number) < 1e-7, "the next training has a reference of its own");
    for (const { report } of [many, further]) assert.ok((report.kl as number) > 1e-5);
  });

  it("learns from what was better or worse than usual, whatever its reward, and from nothing else", async () => {
    const flipped = log(40).map((experience) => ({ ...experience, desirable: experience.chosen === 1 }));
    assert.ok(oddsOf((await train(ktoWith({ updates: 40 }), flipped)).policy) < 0.4);
    const { report } = await train(
      kto,
      log(40).map((experience) => ({ ...experience, desirable: undefined })),
    );
    assert.deepEqual([report.updates, report.desirable, report.undesirable], [0, 0, 0]);
  });

  it("trains a transformer, and serves it from its state whatever the settings are now", async () => {
    const network = { kind: "transformer", width: 16, heads: 2, layers: 1 } as const;
    const { policy, origin } = await train(ktoWith({ updates: 40, batch: 32 }), log(40), { network });
    assert.ok(oddsOf(policy) > 0.6);
    assert.deepEqual(origin, { network, backend: (await loadBackend()).name });
    assert.equal(kto.load(policy.save(), options).version, policy.version);
  });
});

describe("reinforce", () => {
  it("learns from the trajectories of any policy whose odds are known, the more the likelier they are its own", async () => {
    const drawn = episodes(reinforce.create(options), 40);
    const first = await train(reinforce, drawn);
    assert.deepEqual([first.report.updates, first.report.trajectories, first.report.steps], [300, 40, 80]);
    const { probabilities } = first.policy.odds(situationOf(["good", "bad"], { phase: "first" }));
    assert.ok((probabilities[0] as number) > 0.95);
    const second = await train(reinforceWith({ updates: 10 }), drawn, { from: first.policy.save() });
    assert.ok((second.report.effective_batch as number) < (first.report.effective_batch as number));
  });

  it("takes a choice that was logged with small odds for as good as its rewards, not as it was seldom", async () => {
    const random = seededRandom(5);
    const experiences = Array.from({ length: 400 }, (): Experience => {
      const chosen = random() < 0.1 ? 0 : 1;
      return { situation: arms, chosen, probability: chosen === 0 ? 0.1 : 0.9, reward: random() < (chosen === 0 ? 0.8 : 0.6) ? 1 : 0 };
    });
    assert.ok(oddsOf((await train(reinforce, experiences)).policy) > 0.9);
  });

  it("leaves out trajectories with a step missing, doubled, or without an end", async () => {
    const drawn = episodes(reinforce.create(options), 6);
    const [first, second, , fourth, fifth, sixth, seventh] = drawn as [Experience, Experience, ...Experience[]];
    assert.ok(first && second && fourth && fifth && sixth && seventh);
    const { report } = await train(reinforceWith({ updates: 1 }), [first, second, fourth, fifth, sixth, sixth, seventh, ...drawn.slice(8)]);
    assert.deepEqual([report.trajectories, report.incomplete], [3, 3]);
  });

  it("learns nothing where there is no whole trajectory", async () => {
    const { policy, report } = await train(reinforce, episodes(reinforce.create(options), 6).slice(0, 1));
    assert.equal(report.updates, 0);
    assert.equal(policy.version, reinforce.create(options).version);
  });

  it("learns the first step from a reward that comes after the second", async () => {
    const { policy } = await train(reinforce, episodes(reinforce.create(options), 100));
    const { probabilities } = policy.odds(situationOf(["good", "bad"], { phase: "first" }));
    assert.ok((probabilities[0] as number) > 0.95);
  });

  it("takes choices without an episode for trajectories of one step", async () => {
    assert.ok(oddsOf((await train(reinforce, log(100, [1, -1]))).policy) > 0.95);
  });

  it("finds the lesser evil where every reward is negative", async () => {
    assert.ok(oddsOf((await train(reinforce, log(100, [-0.5, -1]))).policy) > 0.95);
  });

  it("does not take the only arm that was ever logged for the better one", async () => {
    const random = seededRandom(8);
    const once = log(200, [0]).map((experience) => ({ ...experience, probability: 0.5, reward: random() < 0.5 ? 1 : 0 }));
    const odds = oddsOf((await train(reinforce, once)).policy);
    assert.ok(odds > 0.1 && odds < 0.9, `${odds}`);
  });

  it("leaves each candidate a share of the odds", async () => {
    const { policy } = await train(reinforceWith({ exploration: 0.1, learningRate: 0.01 }), log(100, [1, -1]));
    assert.ok(Math.abs(oddsOf(policy) - 0.95) < 1e-2);
  });

  it("does not settle for stopping at once where going on pays only for who knows how", async () => {
    for (const seed of [11, 12]) assert.ok((await learnToGoOn(seed)) > 0.9);
  });
});

const endings = ["right", "wrong a", "wrong b", "wrong c", "wrong d"];

/**
 * To stop is worth 0. To go on costs 0.2, and one of five answers earns 1 then, while the others cost 0.5: who answers at random
 * loses 0.4. Trained anew after each 150 of 300 episodes.
 * @returns odds of going on, and then of the right answer
 */
async function learnToGoOn(seed: number): Promise<number> {
  const random = seededRandom(seed);
  const beginning = situationOf(["stop", "go on"], { phase: "beginning" });
  const ending = situationOf(endings, { phase: "ending" });
  const played: Experience[] = [];
  let policy = reinforce.create({ ...options, seed });
  for (let number = 1; number <= 300; number++) {
    const take = (situation: Experience["situation"], step: number, rewards: readonly number[], isLast: (chosen: number) => boolean) => {
      const { probabilities } = policy.odds(situation);
      const chosen = draw(probabilities, random());
      const episode = { id: `${number}`, step, last: isLast(chosen) };
      played.push({ situation, chosen, probability: probabilities[chosen] as number, reward: rewards[chosen] as number, episode });
      return chosen;
    };
    if (take(beginning, 0, [0, -0.2], (chosen) => chosen === 0) === 1) take(ending, 1, [1, -0.5, -0.5, -0.5, -0.5], () => true);
    if (number % 150 === 0) ({ policy } = await train(reinforce, played, { seed }));
  }
  return (policy.odds(beginning).probabilities[1] as number) * (policy.odds(ending).probabilities[0] as number);
}
