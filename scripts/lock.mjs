/**
 * A lock between processes, held by a folder: renaming a filled folder onto a filled one fails, so one rename decides.
 * Plain JavaScript: it runs before anything is installed.
 */
import { randomUUID } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A lock this old belongs to nobody, whatever process has its owner's id by now. */
const oldest = 15 * 60_000;

/**
 * Runs `work` while holding the lock `path`. A lock whose owners are all dead is taken over.
 * @param {string} path folder that does not exist while nobody holds the lock
 * @param {(owner: number) => void} onWait called once if another process holds it
 * @param {(addOwner: (pid: number) => void) => Promise<void>} work `addOwner` names a child that keeps the lock alive too
 */
export async function withLock(path, onWait, work) {
  const id = randomUUID();
  const mine = `${path}-${id}`;
  mkdirSync(mine, { recursive: true });
  writeFileSync(join(mine, "owners"), `${id}\n${process.pid}\n`);
  try {
    for (let waited = false; !moved(mine, path); ) {
      const holder = readHolder(path);
      if (holder === undefined) continue;
      // The grave's name holds the dead lock's id and the grave stays, so a slower thief cannot bury the next owner's lock.
      if (!holder.alive) {
        moved(path, `${path}-dead-${holder.id}`);
        continue;
      }
      if (!waited) onWait(holder.pid);
      waited = true;
      await sleep(200);
    }
  } catch (error) {
    rmSync(mine, { recursive: true, force: true });
    throw error;
  }
  try {
    await work((pid) => appendFileSync(join(path, "owners"), `${pid}\n`));
  } finally {
    if (moved(path, mine)) rmSync(mine, { recursive: true, force: true });
  }
}

function moved(from, to) {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (["ENOTEMPTY", "EEXIST", "ENOENT"].includes(error.code)) return false;
    throw error;
  }
}

function readHolder(path) {
  try {
    const age = Date.now() - statSync(path).mtimeMs;
    const [id, ...pids] = readFileSync(join(path, "owners"), "utf8").trim().split("\n");
    return { id, pid: Number(pids[0]), alive: age < oldest && pids.some((pid) => isAlive(Number(pid))) };
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
