import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import type { ObjectStore } from "../../daemon/module.ts";
import { type Deployment, newSlot } from "../../modules/policy/serving/slot-state.ts";
import { failsWith } from "../harness/fails-with.ts";
import { temporaryFolder } from "../harness/git.ts";
import { best, candidates, listed, play, slot, startPolicy, stateWith, times, told } from "../harness/lamp-slot.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { createObjectStore, createStateStore } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

interface Listed {
  readonly serving: string;
  readonly contender?: { readonly policy: string; readonly role: string; readonly share: number };
  readonly before: readonly string[];
  readonly refused: readonly string[];
  readonly checkpoints: readonly { readonly sha256: string; readonly outcomes: number; readonly report: Record<string, number> }[];
}

describe("a trained policy", () => {
  it("is trained beside the daemon, kept as a checkpoint, judged on later outcomes and tried; the same log gives the same bits", async () => {
    const log = new MemoryEventLog();
    let trained: unknown[];
    {
      await using policy = await startPolicy({ log, settings: { baseline: "uniform", learn: ["kto"] } });
      await play(policy, 1_000);
      await until(() => told(policy, "policy:promoted").length > 0, "the trial", 120_000);
      const { checkpoints, contender, serving } = await listed<Listed>(policy);
      assert.deepEqual(
        checkpoints.map(({ outcomes }) => outcomes),
        [800, 400],
      );
      for (const figure of ["loss", "entropy", "kl", "reward_calibration_error", "effective_sample_size", "regret"]) {
        assert.ok(Number.isFinite(checkpoints[0]?.report[figure]), figure);
      }
      assert.ok((checkpoints[0]?.report.regret ?? 1) < 0, "better than any fixed choice");
      assert.deepEqual(
        [serving, contender?.policy, contender?.role, contender?.share],
        ["uniform", `kto@${checkpoints[1]?.sha256.slice(0, 12)}`, "trial", 0.05],
      );
      trained = checkpoints.map(({ sha256 }) => sha256);
    }
    await using again = await startPolicy({ log, settings: { baseline: "uniform", learn: ["kto"] } });
    const hashes = async () => (await listed<Listed>(again)).checkpoints.map(({ sha256 }) => sha256);
    assert.deepEqual(await until(async () => ((await hashes()).length === 2 ? hashes() : undefined), "the training", 120_000), trained);
  });

  it("is refused by name until it serves; without a checkpoint it is told how many outcomes there are of those needed", async () => {
    await using policy = await startPolicy();
    await assert.rejects(policy.call("policy:select", { slot, candidates, policy: "kto" }), failsWith("POLICY_NOT_SERVING"));
    await play(policy, 3);
    for (const command of ["policy:promote", "policy:evaluate"]) {
      for (const [name, when] of [
        ["kto", /^kto has no checkpoint in lamp yet: it is trained after 500 outcomes, and there are 3\./],
        ["reinforce", /^reinforce has no checkpoint in lamp yet: it is not among what the slot learns/],
      ] as const) {
        await assert.rejects(policy.call(command, { slot, policy: name }), (error: CodedError) => {
          assert.deepEqual([error.code, error.details.outcomes, error.details.needed], ["POLICY_UNTRAINED", 3, 500]);
          assert.match(error.message, when);
          return true;
        });
      }
    }
    await assert.rejects(policy.call("policy:promote", { slot, policy: "oracle" }), failsWith("POLICY_UNKNOWN"));
    await assert.rejects(policy.call("policy:evaluate", { slot, policy: "kto", checkpoint: "0123456789ab" }), failsWith("POLICY_UNKNOWN"));
    await assert.rejects(policy.call("policy:train", { slot, policy: "oracle" }), failsWith("POLICY_UNKNOWN"));
    await assert.rejects(policy.call("policy:train", { slot, policy: "thompson" }), /learns from each outcome as it comes/);
  });
});

describe("a promotion", () => {
  it("needs 500 outcomes and evidence, goes through a trial, and ends in one command", async () => {
    await using policy = await startPolicy({ settings: { baseline: "uniform", learn: [] } });
    const promote = () => policy.call<Listed>("policy:promote", { slot, policy: "linucb" });
    const refused = (reason: RegExp) => (error: unknown) => failsWith("PROMOTION_REFUSED")(error) && reason.test(String(error));
    await play(policy, 600);
    await assert.rejects(promote, refused(/not enough data/));
    await play(policy, 500);
    const evaluation = await policy.call("policy:evaluate", { slot, policy: "linucb" });
    assert.deepEqual(evaluation.decision.reason, "better");
    assert.ok(evaluation.dr.value > 0.8 && evaluation.serving.value < 0.4, "what each is worth");
    assert.equal((await promote()).contender?.role, "trial");
    await assert.rejects(promote, refused(/not enough data/));

    await play(policy, 3_000);
    await until(async () => (await listed<Listed>(policy)).serving === "linucb", "the promotion");
    const promoted = await listed<Listed>(policy);
    assert.deepEqual([promoted.before, promoted.contender?.policy, promoted.contender?.role], [["uniform"], "uniform", "guard"]);
    assert.deepEqual(
      told(policy, "policy:promoted").map(({ stage, over, automatic }) => [stage, over, automatic]),
      [
        ["trial", "uniform", false],
        ["serving", "uniform", true],
      ],
    );

    const back = await policy.call<Listed>("policy:rollback", { slot });
    assert.deepEqual([back.serving, back.contender, back.refused], ["uniform", undefined, ["linucb"]]);
    await assert.rejects(promote, refused(/rolled back before, and is judged anew after \d{4,5} outcomes/));
    await assert.rejects(policy.call("policy:rollback", { slot }), failsWith("ROLLBACK_IMPOSSIBLE"));
  });

  it("is refused to what is not better", async () => {
    await using policy = await startPolicy({ settings: { baseline: "best_so_far", learn: [] } });
    await play(policy, 1_200);
    await assert.rejects(policy.call("policy:promote", { slot, policy: "uniform" }), failsWith("PROMOTION_REFUSED"));
    assert.equal((await listed<Listed>(policy)).serving, "best_so_far");
  });

  it("is not to be had by outcomes that are forged, repeated, flipped or extreme", async () => {
    await using policy = await startPolicy({ settings: { baseline: "best_so_far", learn: [] } });
    const as = (id: string) => ({ caller: { kind: "agent", id } as const });
    for (let round = 0; round < 1_200; round++) {
      const time = times[round % 3] as string;
      const asker = as(round % 20 === 0 ? "liar" : "honest");
      const { decision_id, choice } = await policy.call("policy:select", { slot, context: { time }, candidates }, asker);
      const reward = choice === best[time] ? 1 : 0;
      const forged = { decision_id, reward: reward === 1 ? -1e9 : 1e9 };
      await assert.rejects(policy.call("policy:outcome", forged, as("stranger")), failsWith("OUTCOME_FOREIGN"));
      // A liar has its own choices alone to lie about, and each of its lies weighs no more than 1.
      await policy.call("policy:outcome", asker.caller.id === "liar" ? forged : { decision_id, reward }, asker);
      assert.deepEqual(await policy.call("policy:outcome", forged, asker), { joined: false });
    }
    const recorded = told(policy, "policy:outcome_recorded").map(({ reward }) => reward as number);
    assert.equal(recorded.length, 1_200);
    assert.ok(recorded.every((reward) => Math.abs(reward) <= 1));
    await assert.rejects(policy.call("policy:promote", { slot, policy: "uniform" }), failsWith("PROMOTION_REFUSED"));
    assert.equal((await listed<Listed>(policy)).serving, "best_so_far");
  });

  it("comes by itself to what is followed in the shadow, and not while the slot is frozen", async () => {
    await using policy = await startPolicy({ settings: { baseline: "uniform", learn: ["linucb"] } });
    await policy.call("policy:freeze", { slot });
    await play(policy, 1_100);
    await assert.rejects(policy.call("policy:promote", { slot, policy: "linucb" }), failsWith("SLOT_FROZEN"));
    await policy.call("policy:freeze", { slot, frozen: false });
    await play(policy, 1_000);
    await until(() => told(policy, "policy:promoted").length > 0, "the trial", 30_000);
    assert.deepEqual(told(policy, "policy:promoted")[0]?.automatic, true);
  });

  for (const [role, serving, contender] of [
    ["trial", "best_so_far", "uniform"],
    ["guard", "uniform", "best_so_far"],
  ] as const) {
    it(`is taken back by itself when the comparison turns: ${role}`, async () => {
      const beside = { deployment: { policy: contender }, role, share: 0.05, since: 0, comparison: 0 };
      const before = role === "guard" ? [beside.deployment] : [];
      await using policy = await startPolicy({ state: await stateWith({ serving: { policy: serving }, contender: beside, before }) });
      for (let round = 0; round < 60 && told(policy, "policy:rolled_back").length === 0; round++) await play(policy, 100);
      const [rolledBack] = told(policy, "policy:rolled_back");
      assert.deepEqual([rolledBack?.from, rolledBack?.to, rolledBack?.automatic], ["uniform", "best_so_far", true]);
      const { serving: serves, contender: left, refused } = await listed<Listed>(policy);
      assert.deepEqual([serves, left, refused], ["best_so_far", undefined, ["uniform"]]);
    });
  }
});

describe("a live comparison", () => {
  it("is not made of a candidate with itself", async () => {
    await using policy = await startPolicy();
    const compared = policy.call("policy:compare", { slot, left: "red", right: "red", least_odds: 0.1 });
    await assert.rejects(compared, /the same candidate/);
  });

  it("goes by the reward that was just defined", async () => {
    await using policy = await startPolicy({ settings: { baseline: "uniform", learn: [] } });
    await play(policy, 300);
    const difference = async () => {
      const asked = { slot, left: "red", right: "blue", least_odds: 0.01 };
      return (await policy.call<{ difference: number }>("policy:compare", asked)).difference;
    };
    assert.notEqual(await difference(), 0);
    await policy.call("policy:configure", { slot, reward: { kind: "linear", cost: 0.5 } });
    assert.equal(await difference(), 0, "nothing was rewarded by it yet");
  });

  it("is the same after a restart, and after the database was lost", async (t) => {
    const folder = await temporaryFolder(t);
    const log = new MemoryEventLog();
    const contender = { deployment: { policy: "linucb" }, role: "guard", share: 0.05, since: 0, comparison: 3 } as const;
    const state = await stateWith({ serving: { policy: "uniform" }, contender, comparisons: 3, before: [contender.deployment] });
    const known = async (database: string, rounds: number) => {
      await using policy = await startPolicy({ log, state, database: join(folder, database) });
      await play(policy, rounds);
      const [{ live }] = (await policy.call<{ slots: [{ live: Record<string, { outcomes: number }> }] }>("policy:list", { slot })).slots;
      return { live, compared: await policy.call("policy:compare", { slot, left: "red", right: "blue", least_odds: 0.001 }) };
    };
    await known("policy.sqlite", 300);
    const before = await known("policy.sqlite", 100);
    assert.equal((before.live.contender?.outcomes ?? 0) + (before.live.serving?.outcomes ?? 0), 400);
    assert.deepEqual(await known("policy.sqlite", 0), before);
    assert.deepEqual(await known("another.sqlite", 0), before);
  });

  it("goes on from the state of a version that did not number it", async () => {
    const store = createStateStore();
    const { comparisons: _, features: __, ...earlier } = newSlot("uniform", ["linucb"]);
    const contender = { deployment: { policy: "linucb" }, role: "guard", share: 0.05, since: 0 };
    const state = { ...earlier, contender, before: [contender.deployment], judged: ["kto@0123456789ab"] };
    await store.put(`slot.${Buffer.from(slot).toString("base64url")}`, { slot, state });
    await using policy = await startPolicy({ state: store });
    await play(policy, 30);
    const [{ live }] = (await policy.call<{ slots: [{ live: Record<string, { outcomes: number }> }] }>("policy:list", { slot })).slots;
    assert.equal((live.contender?.outcomes ?? 0) + (live.serving?.outcomes ?? 0), 30);
  });

  it("begins anew when rewards are defined anew", async () => {
    const contender = { deployment: { policy: "linucb" }, role: "guard", share: 0.05, since: 0, comparison: 0 } as const;
    await using policy = await startPolicy({ state: await stateWith({ contender, before: [contender.deployment] }) });
    await play(policy, 50);
    const counted = async () => {
      const [{ live }] = (await policy.call<{ slots: [{ live: Record<string, { outcomes: number }> }] }>("policy:list", { slot })).slots;
      return (live.contender?.outcomes ?? 0) + (live.serving?.outcomes ?? 0);
    };
    assert.equal(await counted(), 50);
    await policy.call("policy:configure", { slot, learn: [] });
    assert.equal(await counted(), 50);
    await policy.call("policy:configure", { slot, reward: { kind: "linear", cost: 0.5 } });
    assert.equal(await counted(), 0);
    await play(policy, 10);
    assert.equal(await counted(), 10);
  });
});

describe("a checkpoint that cannot be used", () => {
  const damaged = async (serving: (objects: ObjectStore) => Promise<Deployment>) => {
    const objects = createObjectStore();
    const state = await stateWith({ serving: await serving(objects), before: [{ policy: "best_so_far" }] });
    await using policy = await startPolicy({ objects, state });
    const { policy: answered } = await policy.call("policy:select", { slot, candidates });
    assert.equal(answered, "best_so_far");
    const [told] = policy.log.ofType("policy:rolled_back").map(({ data }) => data as Record<string, unknown>);
    assert.deepEqual([told?.to, told?.automatic], ["best_so_far", true]);
    assert.equal((await listed<Listed>(policy)).serving, "best_so_far");
  };

  it("is given up for the policy before it when it is missing", () => damaged(async () => ({ policy: "kto", checkpoint: "0".repeat(64) })));
  it("is given up for the policy before it when it is no state", () =>
    damaged(async (objects) => ({ policy: "kto", checkpoint: await objects.put(Buffer.from("no state at all")) })));
});

describe("a change of what serves", () => {
  it("is told again at the next start when its event could not be stored", async () => {
    const [log, state] = [new MemoryEventLog(), createStateStore()];
    {
      await using policy = await startPolicy({ log, state });
      const append = log.append.bind(log);
      log.append = () => {
        throw new CodedError("EVENT_LOG_UNAVAILABLE", "full");
      };
      await policy.call("policy:freeze", { slot });
      log.append = append;
      assert.deepEqual(told(policy, "policy:frozen"), []);
    }
    for (let starts = 0; starts < 2; starts++) {
      await using policy = await startPolicy({ log, state });
      await until(() => told(policy, "policy:frozen").length > 0, "the event");
      await policy.call("policy:select", { slot, candidates });
      assert.equal(told(policy, "policy:frozen").length, 1);
    }
  });
});
