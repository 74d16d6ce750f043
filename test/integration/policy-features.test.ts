import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { newSlot } from "../../modules/policy/serving/slot-state.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { failsWith } from "../harness/fails-with.ts";
import { candidates, listed, play, type StartedPolicy, slot, startPolicy, stateWith, told } from "../harness/lamp-slot.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { createObjectStore, createStateStore } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const small = { context: 64, candidate: 16, waves: 16, products: 32 };

interface Checkpoint {
  readonly sha256: string;
  readonly feature_spec: string;
  readonly outcomes: number;
}
interface Listed {
  readonly serving: string;
  readonly contender?: { readonly policy: string };
  readonly before: readonly string[];
  readonly refused: readonly string[];
  readonly features: { readonly version: string; readonly context: number };
  readonly checkpoints: readonly Checkpoint[];
}

const withStep = (round: number) => ({ step: round % 7 });
const configure = (policy: StartedPolicy, features: object) => policy.call<Listed>("policy:configure", { slot, features });
const loggedSpec = async (policy: StartedPolicy) => {
  await policy.call("policy:select", { slot, candidates });
  return told(policy, "policy:selected").at(-1)?.feature_spec;
};

describe("the features of a slot", () => {
  it("are the usual ones until it chooses others, and say their version wherever they count", async () => {
    await using policy = await startPolicy({ settings: { learn: [] } });
    assert.deepEqual([(await listed<Listed>(policy)).features, await loggedSpec(policy)], [defaultSpec, "1"]);
    const { features } = await configure(policy, small);
    assert.equal(features.context, 64);
    assert.notEqual(features.version, "1");
    assert.equal(await loggedSpec(policy), features.version);
    const [configured] = told(policy, "policy:configured");
    assert.deepEqual([configured?.features, configured?.serving], [features, "thompson"]);
    assert.deepEqual((await configure(policy, {})).features, defaultSpec);
    const other = await policy.call<{ slots: Listed[] }>("policy:list", { slot: "another" });
    assert.deepEqual(other.slots[0]?.features, defaultSpec);
  });

  it("stay after a restart, and new slots have those of reprise.yaml", async () => {
    const [log, state] = [new MemoryEventLog(), createStateStore()];
    let version: string;
    {
      await using policy = await startPolicy({ log, state });
      ({ version } = (await configure(policy, small)).features);
    }
    await using policy = await startPolicy({ log, state, settings: { features: { context: 128 } } });
    assert.equal(await loggedSpec(policy), version);
    const other = await policy.call<{ slots: Listed[] }>("policy:list", { slot: "another" });
    assert.equal(other.slots[0]?.features.context, 128);
  });

  it("are those of a slot from before there was a choice", async () => {
    const { features: _, ...old } = newSlot("thompson", []);
    const state = createStateStore();
    await state.put(`slot.${Buffer.from(slot).toString("base64url")}`, { slot, state: old });
    await using policy = await startPolicy({ state });
    assert.deepEqual((await listed<Listed>(policy)).features, defaultSpec);
  });

  it("are refused when they are none, and while the slot is frozen", async () => {
    await using policy = await startPolicy();
    for (const wrong of [{ context: 100 }, { context: 1e6 }, { text: { embedding: "" } }, { size: 1 }]) {
      await assert.rejects(configure(policy, wrong), failsWith("REQUEST_INVALID"));
    }
    await policy.call("policy:freeze", { slot });
    await assert.rejects(configure(policy, small), failsWith("SLOT_FROZEN"));
    assert.deepEqual((await configure(policy, {})).features, defaultSpec, "no change");
  });

  it("change what is known to what it would be had they always been so", async () => {
    const log = new MemoryEventLog();
    const ask = { slot, context: { time: "day", step: 2 }, candidates, policy: "linucb" };
    const opinion = async (policy: StartedPolicy) => {
      const { scores, version } = await policy.call("policy:select", ask);
      return { scores, version };
    };
    let usual: unknown;
    let changed: unknown;
    {
      await using policy = await startPolicy({ log });
      await play(policy, 120, withStep);
      usual = await opinion(policy);
      await configure(policy, small);
      changed = await opinion(policy);
      assert.notDeepEqual(changed, usual);
      await configure(policy, {});
      assert.deepEqual(await opinion(policy), usual, "and back");
    }
    await using always = await startPolicy({ log, settings: { features: small } });
    assert.deepEqual(await opinion(always), changed);
    await play(always, 30, withStep);
    assert.ok((await always.call("policy:stats", { slot })).slots[0].outcomes === 150);
  });
});

describe("what was trained for other features", () => {
  it("is refused by the gate, and trained again at once, to the same bits as if they had always been so", async () => {
    const log = new MemoryEventLog();
    const settings = { baseline: "uniform", learn: ["kto"] };
    const trained = (policy: StartedPolicy, version: string) =>
      until(
        async () => (await listed<Listed>(policy)).checkpoints.find(({ feature_spec }) => feature_spec === version),
        "the checkpoint",
        120_000,
      );
    let again: Checkpoint;
    {
      await using policy = await startPolicy({ log, settings });
      await play(policy, 500, withStep);
      const { sha256: checkpoint } = await trained(policy, "1");
      const { features } = await configure(policy, small);
      for (const command of ["policy:evaluate", "policy:promote"]) {
        const refused = failsWith("POLICY_STATE_INVALID", /under the feature spec 1/);
        await assert.rejects(policy.call(command, { slot, policy: "kto", checkpoint: checkpoint.slice(0, 12) }), refused);
      }
      again = await trained(policy, features.version);
      assert.equal(again.outcomes, 400);
      assert.notEqual(again.sha256, checkpoint);
      const evaluation = await policy.call("policy:evaluate", { slot, policy: "kto" });
      assert.equal(evaluation.policy, `kto@${again.sha256.slice(0, 12)}`, "the newest that has these features");
      assert.ok(Number.isFinite(evaluation.dr.value));
      assert.deepEqual(
        told(policy, "policy:trained").map(({ checkpoint: each }) => (each as Checkpoint).feature_spec),
        ["1", features.version],
      );
    }
    await using always = await startPolicy({ log, settings: { ...settings, features: small } });
    assert.equal((await trained(always, again.feature_spec)).sha256, again.sha256);
  });

  it("serves no more, nor is it tried: the latest that learns as it goes does", async () => {
    const kto = { policy: "kto", checkpoint: "a".repeat(64) };
    const state = await stateWith({
      serving: kto,
      before: [{ policy: "best_so_far" }, { policy: "linucb" }],
      contender: { deployment: { policy: "linucb" }, role: "guard", share: 0.05, since: 0, comparison: 0 },
      refused: ["thompson", "kto@bbbbbbbbbbbb"],
    });
    await using policy = await startPolicy({ state });
    await configure(policy, small);
    const { serving, before, contender, refused } = await listed<Listed>(policy);
    assert.deepEqual(
      { serving, before, contender, refused },
      { serving: "linucb", before: ["best_so_far"], contender: undefined, refused: ["kto@bbbbbbbbbbbb"] },
    );
    assert.equal((await policy.call("policy:select", { slot, candidates })).policy, "linucb");
    assert.equal(told(policy, "policy:configured")[0]?.serving, "linucb");
  });

  it("is given up for the policy before it, should it serve after all", async () => {
    const objects = createObjectStore();
    let sha256: string;
    {
      await using policy = await startPolicy({ objects });
      await play(policy, 30, withStep);
      ({ sha256 } = await policy.call<Checkpoint>("policy:train", { slot, policy: "kto" }));
    }
    const other = { ...defaultSpec, version: "0123456789ab" };
    const state = await stateWith({ serving: { policy: "kto", checkpoint: sha256 }, before: [{ policy: "best_so_far" }], features: other });
    await using policy = await startPolicy({ objects, state });
    assert.equal((await policy.call("policy:select", { slot, candidates })).policy, "best_so_far");
    assert.match(String(told(policy, "policy:rolled_back")[0]?.reason), /of the feature spec 1/);
  });
});

describe("the features of a slot in a daemon", () => {
  it("are chosen over NATS, told, and logged", async () => {
    await using daemon = await startTestDaemon();
    const { features } = await daemon.ask<Listed>("policy:configure", { slot, features: { context: 64, keys: ["time"] } });
    await daemon.ask("policy:select", { slot, context: { time: "day", secret: "yes" }, candidates });
    const { events } = await daemon.ask<{ events: { type: string; data: Record<string, unknown> }[] }>("event:query", {
      types: ["policy:configured", "policy:selected"],
    });
    const [configured, selected] = events.toSorted((left, right) => (left.type < right.type ? -1 : 1)).map(({ data }) => data);
    assert.deepEqual([configured?.features, selected?.feature_spec], [features, features.version]);
    assert.equal(await daemon.codeOf("policy:configure", { slot, features: { context: 65 } }), "REQUEST_INVALID");
    const unknown = { text: { embedding: "nobody" } };
    assert.equal(await daemon.codeOf("policy:configure", { slot, features: unknown }), "MODEL_NOT_CONFIGURED");
  });
});
