import assert from "node:assert/strict";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Checkpoint } from "../../modules/policy/serving/slot-state.ts";
import { askerOn } from "../harness/ask.ts";
import { type DaemonProcess, startDaemonProcess } from "../harness/daemon-process.ts";
import { temporaryFolder } from "../harness/git.ts";
import { lamps, playUntil } from "../harness/policy-load.ts";
import { alterSlot, assertPoliciesSound, listSlot, openPolicyStores } from "../harness/policy-state.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const slot = "lamp";
const slots = [slot, "lantern"];
const section = "learning:\n  baseline: uniform\n  learn: [kto, reinforce]\n";

/** Leaves the daemon's data in its folder. */
async function startIn(cwd: string, data: string): Promise<DaemonProcess> {
  return startDaemonProcess({ cwd, data });
}

async function withClient<Result>(daemon: DaemonProcess, work: (client: NatsConnection) => Promise<Result>): Promise<Result> {
  const client = await connectForEver(daemon.url);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

const trained = (client: NatsConnection, count: number): Promise<Pick<Checkpoint, "policy" | "outcomes" | "sha256">[]> =>
  until(
    async () => {
      const { checkpoints } = await listSlot(client, slot);
      return checkpoints.length >= count && checkpoints.map(({ policy, outcomes, sha256 }) => ({ policy, outcomes, sha256 }));
    },
    `${count} checkpoints`,
    60_000,
  );

test("another daemon makes the same checkpoints of the same log, bit for bit, also of what was learned in two daemons", async (t) => {
  const cwd = await folderWith(t, section);
  const [data, copy] = [join(cwd, "data"), join(cwd, "copy")];
  let first: Awaited<ReturnType<typeof trained>>;
  {
    await using daemon = await startIn(cwd, data);
    await withClient(daemon, async (client) => {
      await playUntil(client, [slot], (joined) => joined >= 510);
      const [last] = (await trained(client, 2)).filter(({ policy }) => policy === "reinforce");
      // What follows is chosen by it, so that it goes on to learn.
      await using stores = await openPolicyStores(daemon);
      const serving = { policy: "reinforce", checkpoint: last?.sha256 as string };
      await alterSlot(stores.state, slot, (state) => ({ ...state, serving, before: [{ policy: "uniform" }] }));
    });
    await daemon.kill("SIGKILL");
    await daemon.restart();
    first = await withClient(daemon, async (client) => {
      await playUntil(client, [slot], async () => (await listSlot(client, slot)).outcomes >= 1_010);
      return trained(client, 4);
    });
  }
  const own = first.filter(({ policy }) => policy === "reinforce").map(({ sha256 }) => sha256);
  assert.equal(new Set(own).size, 2, "reinforce learned twice");

  // The copy has the log alone.
  await cp(data, copy, { recursive: true });
  await rm(join(copy, "modules", "policy.sqlite"));
  for (const stream of ["KV_policy", "OBJ_policy_objects"]) {
    await rm(join(copy, "nats", "jetstream", "$G", "streams", stream), { recursive: true });
  }
  await using other = await startIn(cwd, copy);
  assert.deepEqual(await withClient(other, (client) => trained(client, 4)), first);
});

/** All of the projection. What learns as it goes is kept beside it, to be faster. */
function contentsOf(file: string): Record<string, unknown[]> {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    const tables = ["progress", "decisions", "texts", "awaited", "slots", "tallies"];
    return Object.fromEntries(tables.map((table) => [table, database.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all()]));
  } finally {
    database.close();
  }
}

const damages: Readonly<Record<string, (file: string) => Promise<void>>> = {
  "is deleted": (file) => rm(file),
  "is empty": (file) => writeFile(file, ""),
  "is no database": (file) => writeFile(file, "no database, but a text".repeat(1_000)),
  "is cut off": (file) => tear(file, (bytes) => bytes.subarray(0, bytes.length / 2)),
  "has pages of noise": (file) =>
    tear(file, (bytes) => {
      for (let at = 4_096; at < bytes.length; at++) if (Math.floor(at / 4_096) % 3 === 0) bytes[at] = (at * 2_654_435_761) >>> 24;
      return bytes;
    }),
};

async function tear(file: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  await writeFile(file, change(await readFile(file)));
}

test("the experience is made again from the log as it was, when its file is lost or damaged", async (t) => {
  const cwd = await folderWith(t, "learning:\n  baseline: thompson\n  learn: []\n");
  const data = join(cwd, "data");
  const file = join(data, "modules", "policy.sqlite");
  // The version of what learns as it goes is a digest of all that it learned.
  const versions = (client: NatsConnection) =>
    Promise.all(slots.map(async (each) => (await askerOn(client).ask("policy:select", { slot: each, candidates: lamps })).version));
  let learned: unknown[] = [];
  {
    await using daemon = await startIn(cwd, data);
    await withClient(daemon, async (client) => {
      await playUntil(client, slots, (joined) => joined >= 600);
      learned = await versions(client);
    });
  }
  const before = contentsOf(file);
  assert.equal(before.slots?.length, 2);
  for (const [name, damage] of Object.entries(damages)) {
    await t.test(`it ${name}`, async () => {
      await damage(file);
      {
        await using daemon = await startIn(cwd, data);
        await withClient(daemon, async (client) => {
          for (const each of slots) await assertPoliciesSound(daemon, client, each, "thompson");
        });
      }
      assert.deepEqual(contentsOf(file), before);
    });
  }
  await rm(file);
  await using daemon = await startIn(cwd, data);
  assert.deepEqual(await withClient(daemon, versions), learned);
});

async function folderWith(t: TestContext, text: string): Promise<string> {
  const cwd = await temporaryFolder(t);
  await writeFile(join(cwd, "reprise.yaml"), text);
  return cwd;
}
