import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { objectParts, objectStream } from "../../daemon/nats/subjects.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { kto } from "../../modules/policy/policies/kto.ts";
import { packState, unpackState } from "../../modules/policy/policies/state.ts";
import { optionsOf } from "../../modules/policy/serving/online.ts";
import { type Deployment, labelOf } from "../../modules/policy/serving/slot-state.ts";
import { askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { temporaryFolder } from "../harness/git.ts";
import { lamps } from "../harness/policy-load.ts";
import { alterSlot, listSlot, objectsBucket, openPolicyStores, type PolicyStores } from "../harness/policy-state.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const trainedFor = (slot: string) => kto.create(optionsOf(slot, defaultSpec)).save();

/** With its checksum right: what a training that went wrong, or a hand, would leave. */
function withNumber(slot: string, number: number): Uint8Array {
  const { header, vectors } = unpackState(trainedFor(slot), "kto", defaultSpec.version);
  (vectors[0] as Float64Array)[5] = number;
  return packState("kto", defaultSpec.version, header, vectors);
}

/** Where it stands which parts the object has. */
const infoOf = (sha256: string) => `$O.${objectsBucket}.M.${Buffer.from(sha256).toString("base64url").padEnd(88, "=")}`;

/** Puts other bytes in place of an object's, as a disk might. */
async function overwrite({ nats }: PolicyStores, sha256: string, change: (bytes: Buffer) => Buffer | undefined): Promise<void> {
  const manager = await jetstreamManager(nats);
  const stream = objectStream(objectsBucket);
  const found = await manager.streams.getMessage(stream, { last_by_subj: infoOf(sha256) });
  const { nuid } = found?.json<{ nuid: string }>() ?? { nuid: "" };
  const parts = objectParts(objectsBucket, nuid);
  const first = await manager.streams.getMessage(stream, { next_by_subj: parts, seq: 1 } as never);
  await manager.streams.purge(stream, { filter: parts });
  const changed = change(Buffer.from(first?.data ?? []));
  if (changed !== undefined) await jetstream(nats).publish(parts, changed);
}

/** What happens to the serving checkpoint of the slot, and what is said of it. */
interface Damage {
  readonly damage?: (stores: PolicyStores, sha256: string) => Promise<void>;
  /** Bytes that were wrong from the start. */
  readonly state?: (slot: string) => Uint8Array;
  readonly says?: RegExp;
}

const damages: Readonly<Record<string, Damage>> = {
  "with a flipped bit": {
    damage: (stores, sha256) =>
      overwrite(stores, sha256, (bytes) => {
        bytes[1_000] = (bytes[1_000] as number) ^ 1;
        return bytes;
      }),
    says: /missing or damaged/,
  },
  "cut off": { damage: (stores, sha256) => overwrite(stores, sha256, (bytes) => bytes.subarray(0, 99)), says: /missing or damaged/ },
  "without bytes": { damage: (stores, sha256) => overwrite(stores, sha256, () => undefined), says: /missing or damaged/ },
  missing: {
    damage: async ({ objects }, sha256) => {
      await objects.delete(sha256);
    },
    says: /missing or damaged/,
  },
  "that cannot be found": {
    damage: async ({ nats }, sha256) => {
      await jetstream(nats).publish(infoOf(sha256), "{no object");
    },
    says: /missing or damaged/,
  },
  "with NaN": { state: (slot) => withNumber(slot, Number.NaN), says: /finite/ },
  "with Infinity": { state: (slot) => withNumber(slot, Number.POSITIVE_INFINITY), says: /finite/ },
  "with a number that no weight can hold": { state: (slot) => withNumber(slot, 1e300), says: /finite/ },
  "of another policy": { state: () => packState("reinforce", defaultSpec.version, {}, []), says: /reinforce/ },
  "without a network": { state: () => packState("kto", defaultSpec.version, {}, []), says: /network/ },
  "that is none": { state: () => Buffer.from("no state at all"), says: /not one/ },
};

test("a serving checkpoint that is damaged is refused with the reason, and the one before it serves", async (t) => {
  const cwd = await temporaryFolder(t);
  await writeFile(join(cwd, "reprise.yaml"), "learning:\n  baseline: best_so_far\n  learn: []\n");
  await using daemon = await startDaemonProcess({ cwd });
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask } = askerOn(client);
  const answers = async (slot: string) => (await ask<{ policy: string }>("policy:select", { slot, candidates: lamps })).policy;
  const deployed = new Map<string, { serving: Deployment; earlier: Deployment }>();
  const restart = async () => {
    await daemon.kill("SIGKILL");
    await daemon.restart();
  };

  {
    await using stores = await openPolicyStores(daemon);
    for (const [slot, { state = trainedFor }] of Object.entries<Damage>({ ...damages, sound: {}, both: {}, alone: {} })) {
      await ask("policy:configure", { slot, learn: [] });
      const serving = { policy: "kto", checkpoint: await stores.objects.put(state(slot)) };
      const earlier = { policy: "kto", checkpoint: await stores.objects.put(kto.create({ spec: defaultSpec, seed: 7 }).save()) };
      deployed.set(slot, { serving, earlier });
      const before =
        slot === "alone" ? [] : [{ policy: "best_so_far" }, slot === "both" ? { ...earlier, checkpoint: "0".repeat(64) } : earlier];
      await alterSlot(stores.state, slot, (present) => ({ ...present, serving, before }));
    }
  }
  await restart();
  assert.equal(await answers("sound"), "kto");
  const whole = Object.entries(damages).filter(([, { damage }]) => damage !== undefined);
  for (const [slot] of whole) assert.equal(await answers(slot), "kto", "it serves before");
  {
    await using stores = await openPolicyStores(daemon);
    for (const [slot, { damage }] of whole) await damage?.(stores, deployed.get(slot)?.serving.checkpoint as string);
    for (const slot of ["both", "alone"]) await stores.objects.delete(deployed.get(slot)?.serving.checkpoint as string);
  }
  for (const [slot] of whole) {
    assert.equal(await answers(slot), "kto", "a daemon that has loaded it is not disturbed");
    assert.equal((await listSlot(client, slot)).serving, labelOf(deployed.get(slot)?.serving as Deployment));
  }
  await restart();

  for (const [slot, { says = /./ }] of Object.entries(damages)) {
    await t.test(`one ${slot}`, async () => {
      const { serving, earlier } = deployed.get(slot) as { serving: Deployment; earlier: Deployment };
      // One of twenty is answered by the guard.
      assert.match(await answers(slot), /^(kto|best_so_far)$/);
      const listed = await listSlot(client, slot);
      assert.deepEqual([listed.serving, listed.before, listed.refused], [labelOf(earlier), ["best_so_far"], [labelOf(serving)]]);
      const told = (await readStoredEvents(daemon)).filter(({ type, data }) => type === "policy:rolled_back" && data.slot === slot);
      assert.deepEqual(
        told.map(({ data }) => [data.from, data.to, data.automatic]),
        [[labelOf(serving), labelOf(earlier), true]],
      );
      assert.match(String(told[0]?.data.reason), says);
    });
  }

  await t.test("and the one before that, where it is damaged as well; without any, the one of a new slot", async () => {
    await until(async () => {
      assert.equal(await answers("both"), "best_so_far");
      return (await listSlot(client, "both")).refused.length === 2;
    }, "both to be refused");
    assert.equal(await answers("alone"), "best_so_far");
  });

  await t.test("what is sound goes on to serve", async () => {
    assert.equal(await answers("sound"), "kto");
    assert.deepEqual((await listSlot(client, "sound")).refused, []);
  });
});
