import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { createPolicyModule } from "../../modules/policy/index.ts";
import { kto } from "../../modules/policy/policies/kto.ts";
import { optionsOf } from "../../modules/policy/serving/online.ts";
import { newSlot } from "../../modules/policy/serving/slot-state.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { createObjectStore, createStateStore, startModule, type TestOptions } from "../harness/module-context.ts";

const slot = "lamp";
const candidates = [{ id: "red" }, { id: "green" }];
const start = (options: TestOptions = {}) => startModule(createPolicyModule(), options);

describe("a change whose event could not be stored", () => {
  it("is told before the next one", async () => {
    const log = new MemoryEventLog();
    await using policy = await start({ log });
    const append = log.append.bind(log);
    log.append = () => {
      throw new CodedError("EVENT_LOG_UNAVAILABLE", "full");
    };
    await policy.call("policy:freeze", { slot });
    await assert.rejects(policy.call("policy:freeze", { slot, frozen: false }), { code: "EVENT_LOG_UNAVAILABLE" });
    log.append = append;
    await policy.call("policy:freeze", { slot, frozen: false });
    assert.deepEqual(
      log.records.map(({ type }) => type),
      ["policy:frozen", "policy:unfrozen"],
    );
  });
});

describe("a store that does not answer for a moment", () => {
  it("costs the serving policy nothing", async () => {
    const [objects, state] = [createObjectStore(), createStateStore()];
    const checkpoint = await objects.put(kto.create(optionsOf(slot, defaultSpec)).save());
    const served = { ...newSlot("thompson", []), serving: { policy: "kto", checkpoint }, before: [{ policy: "thompson" }] };
    await state.put(`slot.${Buffer.from(slot).toString("base64url")}`, { slot, state: served });
    let isAway = true;
    const get = async (sha256: string) => {
      if (isAway) throw new Error("timeout");
      return objects.get(sha256);
    };
    await using policy = await start({ objects: { ...objects, get }, state });
    await assert.rejects(policy.call("policy:select", { slot, candidates }), /timeout/);
    isAway = false;
    assert.equal((await policy.call("policy:select", { slot, candidates })).policy, "kto");
    assert.deepEqual(policy.log.ofType("policy:rolled_back"), []);
  });
});

describe("a checkpoint of its own that is damaged", () => {
  it("does not keep reinforce from learning", async () => {
    const objects = createObjectStore();
    await using policy = await start({ objects, settings: { learn: [] } });
    const play = async () => {
      for (let round = 0; round < 30; round++) {
        const { decision_id, choice } = await policy.call("policy:select", { slot, candidates, policy: "uniform" });
        await policy.call("policy:outcome", { decision_id, reward: choice === "green" ? 1 : 0 });
      }
    };
    await play();
    const first = await policy.call("policy:train", { slot, policy: "reinforce" });
    assert.ok(first.report.updates > 0);
    await objects.delete(first.sha256);
    await play();
    const second = await policy.call("policy:train", { slot, policy: "reinforce" });
    assert.ok(second.report.updates > 0, "it begins anew");
    assert.notEqual(second.sha256, first.sha256);
  });
});
