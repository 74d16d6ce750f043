import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { parse } from "yaml";
import { type DaemonProcess, startDaemonProcess } from "../harness/daemon-process.ts";
import { type Git, gitIn } from "../harness/git.ts";
import { rounds } from "../harness/rounds.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const pattern = "compression_tournament";
const file = `orchestrations/${pattern}_decisions.yaml`;
const folder = `orchestrations/${pattern}_decisions`;

test("kill -9 during track_decision: every acknowledged decision is in git, once, in a sound repository", async (t) => {
  await using daemon = await startDaemonProcess();
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const deciders = startDeciders(client, 4);
  const kills = rounds(4, 100);
  for (let round = 0; round < kills; round++) {
    const before = deciders.acknowledged.length;
    await until(() => deciders.acknowledged.length > before + 5, "decisions to get on");
    await pause(Math.random() * 300); // at any moment of a group commit
    await daemon.kill("SIGKILL");
    await daemon.restart();
  }
  await deciders.finish();

  const tracked = await trackedIds(daemon);
  await until(async () => (await countDecisions(client)) === tracked.length, "the projection to catch up", 60_000);
  const git = gitIn(join(daemon.data, "compositions"));
  const recorded = await recordedIds(git);
  assert.deepEqual(recorded.toSorted(), tracked.toSorted());
  assert.deepEqual(new Set(recorded).size, recorded.length, "each once");
  assert.deepEqual(
    deciders.acknowledged.filter((id) => !recorded.includes(id)),
    [],
  );
  assert.ok(deciders.acknowledged.length >= kills * 5);
  assert.equal(await git("fsck", "--strict", "--no-dangling"), ""); // what a kill cut short is dangling, until git's gc
  assert.equal(await git("status", "--porcelain"), "");
  t.diagnostic(`${kills} kills, ${deciders.acknowledged.length} acknowledged, ${recorded.length} in git`);
});

interface Deciders {
  /** Ids of decisions whose reply came. */
  readonly acknowledged: readonly string[];
  finish(): Promise<void>;
}

/** Half of them wait for the commit. */
function startDeciders(client: NatsConnection, number: number): Deciders {
  const acknowledged: string[] = [];
  let finishing = false;
  async function decide(decider: number): Promise<void> {
    for (let count = 0; !finishing; count++) {
      const body = { pattern, decision: `${decider}-${count}`, confidence: 0.5, ...(decider % 2 === 1 && { wait: "commit" }) };
      const reply = await client
        .request("composition:track_decision", JSON.stringify(body), { timeout: 1_000 })
        .then((message) => message.json<{ id?: string }>())
        .catch(() => undefined);
      if (reply?.id !== undefined) acknowledged.push(reply.id);
      else await pause(20);
    }
  }
  const working = Promise.all(Array.from({ length: number }, (_, decider) => decide(decider)));
  return {
    acknowledged,
    async finish() {
      finishing = true;
      await working;
    },
  };
}

const trackedIds = async (daemon: DaemonProcess): Promise<string[]> =>
  (await readStoredEvents(daemon)).filter(({ type }) => type === "composition:decision_tracked").map(({ id }) => id);

async function countDecisions(client: NatsConnection): Promise<number> {
  let count = 0;
  for (let cursor: string | undefined; ; ) {
    const body = JSON.stringify({ pattern, limit: 1_000, ...(cursor !== undefined && { cursor }) });
    const page = (await client.request("composition:decisions", body, { timeout: 30_000 })).json<{
      decisions: unknown[];
      cursor?: string;
    }>();
    count += page.decisions.length;
    cursor = page.cursor;
    if (cursor === undefined) return count;
  }
}

/** Ids in the files at HEAD, read with plain git. */
async function recordedIds(git: Git): Promise<string[]> {
  const paths = (await git("ls-tree", "-r", "--name-only", "HEAD", file, folder)).split("\n");
  assert.ok(paths.includes(file));
  const texts = await Promise.all(paths.map((path) => git("show", `HEAD:${path}`)));
  return texts.flatMap((text) => (parse(text) as { id: string }[]).map(({ id }) => id));
}
