import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { kto } from "../../modules/policy/policies/kto.ts";
import type { Checkpoint } from "../../modules/policy/serving/slot-state.ts";
import { type Mortal, startMortal } from "../harness/mortal.ts";
import { playUntil } from "../harness/policy-load.ts";
import { alterSlot, assertPoliciesSound, listSlot, openPolicyStores } from "../harness/policy-state.ts";

let mortal: Mortal;
before(async () => {
  mortal = await startMortal("learning:\n  baseline: uniform\n  learn: []\n");
});
after(() => mortal?.[Symbol.asyncDispose]());

const sound = (slot: string) => assertPoliciesSound(mortal.daemon, mortal.client, slot, "uniform");

describe("a kill at each step of keeping a checkpoint", () => {
  for (const policy of ["kto", "reinforce"]) {
    it(`leaves the checkpoints as they were, or one more that is told: ${policy}`, async () => {
      const slot = `kept ${policy}`;
      await playUntil(mortal.client, [slot], (joined) => joined >= 60);
      for (const [point, known] of [
        ["before object", 0],
        ["after object", 0],
        [`before state policy:trained ${slot}`, 0],
        [`after state policy:trained ${slot}`, 1],
        // From here on it is the same one again: the same outcomes give the same bits, however often that is interrupted.
        [`after event policy:trained ${slot}`, 1],
        [`before state policy:trained ${slot}`, 1],
      ] as const) {
        await mortal.dieAt(point, () => mortal.begin("policy:train", { slot, policy }));
        assert.equal((await sound(slot)).checkpoints.length, known, point);
      }
      const { sha256 } = await mortal.ask<Checkpoint>("policy:train", { slot, policy });
      const { checkpoints } = await sound(slot);
      assert.deepEqual(
        checkpoints.map((one) => one.sha256),
        [sha256],
      );
    });
  }

  it("keeps ten that load, before and after an old one is deleted", async () => {
    const slot = "ten";
    const { client, daemon } = mortal;
    await playUntil(client, [slot], (joined) => joined >= 60);
    const first = await mortal.ask<Checkpoint>("policy:train", { slot, policy: "kto" });
    {
      await using stores = await openPolicyStores(daemon);
      const others: Checkpoint[] = [];
      for (let seed = 1; seed < 10; seed++) {
        const bytes = kto.create({ spec: defaultSpec, seed }).save();
        others.push({ ...first, seed, sha256: await stores.objects.put(bytes) });
      }
      await alterSlot(stores.state, slot, (state) => ({ ...state, checkpoints: [...others, first] }));
    }
    await daemon.kill("SIGKILL");
    await daemon.restart();
    for (const point of ["before deletion", "after deletion"]) {
      const { checkpoints, outcomes } = await listSlot(client, slot);
      await playUntil(client, [slot], (joined) => joined >= 30);
      await mortal.dieAt(point, () => mortal.begin("policy:train", { slot, policy: "kto" }));
      const now = await listSlot(client, slot);
      assert.ok(now.outcomes >= outcomes + 30);
      assert.deepEqual(now.checkpoints.slice(1), checkpoints.slice(0, 9), point);
      await using stores = await openPolicyStores(daemon);
      for (const { sha256 } of now.checkpoints) assert.ok(await stores.objects.get(sha256), `${sha256} is there`);
    }
  });
});
