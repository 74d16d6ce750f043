import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";

const lockModule = join(import.meta.dirname, "..", "..", "scripts", "lock.mjs");
const { withLock } = await import(lockModule);

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "reprise-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const holdForEver = `
  const { withLock } = await import(${JSON.stringify(lockModule)});
  await withLock(process.argv[1], () => {}, async () => {
    console.log("held");
    await new Promise((resolve) => setTimeout(resolve, 60_000));
  });
`;

test("one at a time holds the lock, and nothing of it stays", async () => {
  let holders = 0;
  const hold = async () => {
    holders += 1;
    assert.equal(holders, 1);
    await new Promise(setImmediate);
    holders -= 1;
  };
  await Promise.all(Array.from({ length: 5 }, () => withLock(path, () => {}, hold)));
  assert.deepEqual(await readdir(folder), []);
});

test("who waits is told which process holds the lock, and gets it when that process is killed", async () => {
  const holder = spawn(process.execPath, ["--input-type=module", "-e", holdForEver, path], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    await once(holder.stdout, "data");
    const waitedFor: number[] = [];
    let held = false;
    const onWait = (pid: number) => {
      waitedFor.push(pid);
      holder.kill("SIGKILL");
    };
    await withLock(path, onWait, async () => {
      held = true;
    });
    assert.deepEqual(waitedFor, [holder.pid]);
    assert.ok(held);
  } finally {
    holder.kill("SIGKILL");
  }
});
