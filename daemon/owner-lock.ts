/**
 * One owner per data folder and per repository.
 *
 * The lock itself is an operating-system lock, held through an SQLite transaction that never ends: the kernel grants it to
 * exactly one process and drops it when that process dies, however it dies. So there are no stale locks to judge, no
 * process ids to compare and no takeover to race for. (No other code of the process may open the file: closing it would drop
 * the lock.) A JSON file beside it only tells the refused who the owner is.
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";

const sqliteBusy = 5;

export interface Owner {
  readonly purpose: string;
  readonly pid: number;
  readonly host: string;
  /** RFC 3339: when the lock was taken. */
  readonly since: string;
  readonly url?: string;
}

/** Someone else owns the folder; `owner` is absent only if the owner has not yet written its name. */
export class OwnedElsewhereError extends Error {
  override readonly name = "OwnedElsewhereError";
  readonly file: string;
  readonly owner: Owner | undefined;

  constructor(file: string, owner: Owner | undefined, purpose: string) {
    const who = owner
      ? `process ${owner.pid} on ${owner.host} since ${owner.since}${owner.url ? ` at ${owner.url}` : ""} (${owner.purpose})`
      : "another process";
    super(`${purpose}: ${dirname(file)} is owned by ${who}`);
    this.file = file;
    this.owner = owner;
  }
}

export interface OwnerLock extends AsyncDisposable {
  readonly owner: Owner;
  /** Adds what became known later, so that a refused process can say where the owner is reached. */
  describe(more: { url: string }): Promise<void>;
}

/**
 * Takes the lock or throws at once. It is released on dispose and by the death of the process.
 * @param file path of the lock; the owner's name stands in `<file>.json`
 * @throws OwnedElsewhereError
 */
export async function acquireOwnerLock(file: string, options: { purpose: string; url?: string }): Promise<OwnerLock> {
  await mkdir(dirname(file), { recursive: true });
  const nameFile = `${file}.json`;
  const database = new DatabaseSync(file);
  try {
    database.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== sqliteBusy) throw error;
    throw new OwnedElsewhereError(file, await readOwner(nameFile), options.purpose);
  }

  let owner: Owner = { ...options, pid: process.pid, host: hostname(), since: new Date().toISOString() };
  const publish = async () => {
    await writeFile(`${nameFile}.new`, `${JSON.stringify(owner)}\n`);
    await rename(`${nameFile}.new`, nameFile);
  };
  try {
    await publish();
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    get owner() {
      return owner;
    },
    async describe(more) {
      owner = { ...owner, ...more };
      await publish();
    },
    async [Symbol.asyncDispose]() {
      if (!database.isOpen) return;
      await rm(nameFile, { force: true });
      database.close();
    },
  };
}

/** The owner's name; waits a moment for an owner that has the lock but has not yet replaced its predecessor's name. */
async function readOwner(nameFile: string): Promise<Owner | undefined> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const text = await readFile(nameFile, "utf8").catch(() => "");
    const owner = text ? (JSON.parse(text) as Owner) : undefined;
    if (owner && (owner.host !== hostname() || isAlive(owner.pid))) return owner;
    await delay(20);
  }
  return undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
