/** A damaged or full repository under a whole daemon: named, read as far as it can be, and complete after the mend. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { askerOn } from "../harness/ask.ts";
import { type DaemonProcess, startDaemonProcess } from "../harness/daemon-process.ts";
import { gitIn, temporaryFolder } from "../harness/git.ts";
import { countIn, countingPattern } from "../harness/pattern-clients.ts";
import { mountSmallDisk } from "../harness/small-disk.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const name = "damaged";

interface Page {
  readonly decisions: { id: string }[];
  readonly waiting?: { code: string; message: string };
}

/** A daemon with one pattern and one decision on it, in git. */
async function prepare(t: TestContext, daemon: DaemonProcess, folder: string) {
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const asker = askerOn(client);
  const { ask, errorOf } = asker;
  await ask("composition:create", { type: "orchestration", name, content: countingPattern(name, 0) });
  const ids: string[] = [];
  const decide = async (fields: object = {}) => {
    ids.push((await ask<{ id: string }>("composition:track_decision", { pattern: name, decision: `number ${ids.length}`, ...fields })).id);
  };
  await decide({ wait: "commit" });
  const read = () => ask<{ content: string; commit: string }>("composition:get", { name });
  const page = () => ask<Page>("composition:decisions", { pattern: name });
  assert.equal((await page()).decisions.length, 1);
  return {
    git: gitIn(folder),
    decide,
    /** Writes are refused with this reason, reads go on, and decisions are still taken. */
    async assertNamed(reason: RegExp) {
      const { content, commit } = await read();
      assert.equal(countIn(content), 0);
      const error = await errorOf("composition:save", { name, content: countingPattern(name, 1), based_on: commit });
      assert.equal(error.code, "REPOSITORY_UNAVAILABLE");
      assert.match(error.message, reason);
      await decide();
      const waiting = await until(async () => (await page()).waiting, "the reason why decisions wait");
      assert.equal(waiting.code, "REPOSITORY_UNAVAILABLE");
      assert.equal((await page()).decisions.length, 1);
    },
    /** Everything acknowledged is in git, and writes go on. */
    async assertMended() {
      const { commit } = await read();
      await ask("composition:save", { name, content: countingPattern(name, 1), based_on: commit });
      await until(async () => (await page()).decisions.length >= ids.length, "the decisions to reach git", 60_000);
      assert.deepEqual((await page()).decisions.map(({ id }) => id).reverse(), ids);
      const git = gitIn(folder);
      assert.equal(await git("fsck", "--strict", "--no-dangling"), "");
      assert.equal(await git("status", "--porcelain"), "");
    },
  };
}

interface Damage {
  readonly reason: RegExp;
  /** @returns how to mend it */
  inflict(gitdir: string, revisions: { tip: string; blob: string }, spare: string): Promise<() => Promise<unknown>>;
}

const objectFile = (gitdir: string, oid: string) => join(gitdir, "objects", oid.slice(0, 2), oid.slice(2));

const damages: Record<string, Damage> = {
  "a torn branch": {
    reason: /refs\/heads\/main is torn/,
    async inflict(gitdir, { tip }) {
      await truncate(join(gitdir, "refs/heads/main"));
      return () => writeFile(join(gitdir, "refs/heads/main"), `${tip}\n`);
    },
  },
  "an empty object": {
    reason: /is missing or empty|missing or damaged/,
    async inflict(gitdir, { blob }, spare) {
      const file = objectFile(gitdir, blob);
      await copyFile(file, spare);
      await truncate(file);
      return () => copyFile(spare, file);
    },
  },
  "a lock that a crashed git left behind": {
    reason: /index\.lock is held by another git process/,
    async inflict(gitdir) {
      await writeFile(join(gitdir, "index.lock"), "");
      return () => rm(join(gitdir, "index.lock"));
    },
  },
};

for (const [what, { reason, inflict }] of Object.entries(damages)) {
  test(`${what} found after a crash: writes are refused with the reason, and after the mend all that was acknowledged is there`, async (t) => {
    await using daemon = await startDaemonProcess();
    const folder = join(daemon.data, "compositions");
    const { git, decide, assertNamed, assertMended } = await prepare(t, daemon, folder);
    const revisions = {
      tip: await git("rev-parse", "HEAD"),
      // Of another file than those that are read here: what is damaged cannot be read.
      blob: await git("rev-parse", "HEAD:orchestrations/debate.yaml"),
    };
    await daemon.kill("SIGKILL");
    const mend = await inflict(join(folder, ".git"), revisions, join(await temporaryFolder(t), "spare"));
    await daemon.restart();
    await decide();
    await assertNamed(reason);
    await mend();
    await assertMended();
  });
}

test("a full disk under the repository alone: the reason is named, decisions are kept, and with room it goes on by itself", async (t) => {
  const disk = mountSmallDisk(t, 16);
  if (disk === undefined) return t.skip("mounting a file system takes rights that this process lacks");
  await using stack = new AsyncDisposableStack();
  stack.defer(() => disk.unmount());
  const folder = join(disk.folder, "compositions");
  const daemon = stack.use(await startDaemonProcess({ args: ["--nats-port", "0", "--compositions", folder] }));
  const { decide, assertNamed, assertMended } = await prepare(t, daemon, folder);
  disk.fill(0);
  await decide();
  await assertNamed(/no space left/i);
  disk.empty();
  await assertMended();
});

test("a repository on a file system that became read-only: the same, until it can be written to again", async (t) => {
  await using daemon = await startDaemonProcess();
  const folder = join(daemon.data, "compositions");
  const { assertNamed, assertMended } = await prepare(t, daemon, folder);
  const repository = join(folder, ".git"); // as a whole: from one mount into another a rename fails for a reason of its own
  try {
    execFileSync("mount", ["--bind", repository, repository], { stdio: "pipe" });
  } catch {
    return t.skip("mounting a file system takes rights that this process lacks");
  }
  await using mounted = new AsyncDisposableStack();
  mounted.defer(() => void execFileSync("umount", [repository]));
  execFileSync("mount", ["-o", "remount,bind,ro", repository]);
  await assertNamed(/read-only/);
  await mounted.disposeAsync();
  await assertMended();
});
