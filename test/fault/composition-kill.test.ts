/** `kill -9` while patterns are saved, forked and merged and decisions are taken, all at the same time. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { parse } from "yaml";
import { askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { fsck, type Git, gitIn } from "../harness/git.ts";
import { countIn, countingPattern, increment, startWorkers, tryAsk } from "../harness/pattern-clients.ts";
import { rounds } from "../harness/rounds.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const kills = rounds(4, 250);
/** Longest reply that a client waits for: one that was lost with the daemon must not hold it up. */
const timeout = 2_000;

interface Written {
  readonly commit: string;
}

/** Forks the pattern under a new name, changes the fork, and merges it back. */
function forkAndMerge(client: NatsConnection, parent: string, forks: Set<string>, merges: string[]) {
  let count = 0;
  return async (): Promise<string | undefined> => {
    const name = `${parent}-fork-${count++}`;
    const modifications = { "variables.tried": count, tags: ["counting", `fork-${count}`] };
    const request = { parent, name, reason: "to be merged back", modifications };
    const { body: forked } = await tryAsk<Written>(client, "composition:fork", request, timeout);
    if (!forked) return undefined;
    forks.add(name);
    const merge = { source: name, target: parent, strategy: "full" };
    const { body: merged } = await tryAsk<Written & { status: string }>(client, "composition:merge", merge, timeout);
    if (merged?.status !== "merged") return forked.commit;
    merges.push(merged.commit);
    return merged.commit;
  };
}

/** A decision, with its commit. */
const decide = (client: NatsConnection, pattern: string, decisions: Set<string>) => async (): Promise<string | undefined> => {
  const request = { pattern, decision: `number ${decisions.size}`, wait: "commit" };
  const { body } = await tryAsk<Written & { id: string }>(client, "composition:track_decision", request, timeout);
  if (body) decisions.add(body.id);
  return body?.commit;
};

test(`${kills} × kill -9 in the middle of saves, forks, merges and decisions: all that was acknowledged is in a sound repository`, {
  timeout: 120_000 + kills * 15_000,
}, async (t) => {
  await using daemon = await startDaemonProcess();
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask } = askerOn(client);
  const names = ["saved", "forked", "decided"];
  for (const name of names) await ask("composition:create", { type: "orchestration", name, content: countingPattern(name, 0) });

  const saves: string[] = [];
  const forks = new Set<string>();
  const merges: string[] = [];
  const decisions = new Set<string>();
  const workers = startWorkers([
    async () => {
      const commit = await increment(client, "saved", timeout);
      if (commit) saves.push(commit);
      return commit;
    },
    forkAndMerge(client, "forked", forks, merges),
    decide(client, "decided", decisions),
    decide(client, "saved", decisions),
  ]);
  for (let round = 0; round < kills; round++) {
    const before = workers.acknowledged.length;
    await until(() => workers.acknowledged.length >= before + 8, "the work to get on", 60_000);
    await pause(Math.random() * 200); // at any moment of a commit
    await daemon.kill("SIGKILL");
    await daemon.restart();
  }
  await workers.finish();

  const folder = join(daemon.data, "compositions");
  const git = gitIn(folder);
  const recorded = await until(
    async () => {
      const ids = await recordedIds(git, ["decided", "saved"]);
      return [...decisions].every((id) => ids.includes(id)) && ids;
    },
    "every acknowledged decision to be in git",
    60_000,
  );
  assert.equal(new Set(recorded).size, recorded.length, "each decision once");
  const reachable = new Set((await git("rev-list", "HEAD")).split("\n"));
  assert.deepEqual(
    workers.acknowledged.filter((commit) => !reachable.has(commit)),
    [],
    "acknowledged, and not in the history",
  );
  assert.ok(merges.length > 0 && saves.length > 0 && decisions.size > 0, "each kind of work got on");
  for (const name of forks) assert.match(await readFile(join(folder, `orchestrations/${name}.yaml`), "utf8"), /^lineage:/m);
  // A save whose reply was lost with the daemon may have been made all the same.
  const count = countIn(await readFile(join(folder, "orchestrations/saved.yaml"), "utf8"));
  assert.ok(count >= saves.length, `${count} after ${saves.length} acknowledged saves`);
  const { agree, objects, ...lists } = await ask<{ agree: boolean; objects: { problems: string[] } }>("composition:verify", {});
  assert.ok(agree, JSON.stringify(lists));
  assert.deepEqual(objects.problems, []);
  assert.equal(await git("rev-list", "--max-parents=0", "--count", "HEAD"), "1");
  assert.equal(await fsck(git), "");
  assert.equal(await git("status", "--porcelain"), "");
  t.diagnostic(
    `${saves.length} saves, ${forks.size} forks, ${merges.length} merges, ${decisions.size} decisions acknowledged; ${reachable.size} commits`,
  );
});

/** Ids in the decisions files at HEAD, read with plain git. */
async function recordedIds(git: Git, patterns: readonly string[]): Promise<string[]> {
  const places = patterns.flatMap((name) => [`orchestrations/${name}_decisions.yaml`, `orchestrations/${name}_decisions`]);
  const paths = (await git("ls-tree", "-r", "--name-only", "HEAD", ...places)).split("\n").filter((path) => path !== "");
  const texts = await Promise.all(paths.map((path) => git("show", `HEAD:${path}`)));
  return texts.flatMap((text) => (parse(text) as { id: string }[]).map(({ id }) => id));
}
