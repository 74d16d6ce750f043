/** SQLite for what can be made again from the log or from git. */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Database } from "./module.ts";

/** Opens a file, or `:memory:`; one that is damaged is replaced by an empty one. */
export function openDatabase(file: string): Database {
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true });
  try {
    return wrap(open(file));
  } catch (error) {
    if (!isDamage(error)) throw error;
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${file}${suffix}`, { force: true });
    return wrap(open(file));
  }
}

function open(file: string): DatabaseSync {
  const database = new DatabaseSync(file);
  try {
    // Losing the last transactions in a power failure is harmless: they are made again.
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384;");
    // Reads all of it, 1 ms for each MB: a page that is damaged would else show at some later query, at each start anew.
    const [check] = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {});
    if (check !== "ok") throw new DamagedError(`${file}: ${check}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function wrap(database: DatabaseSync): Database {
  return {
    exec: (sql) => database.exec(sql),
    prepare: (sql) => database.prepare(sql),
    transaction(work) {
      database.exec("BEGIN");
      try {
        const result = work();
        database.exec("COMMIT");
        return result;
      } catch (error) {
        // Some failures end the transaction by themselves.
        if (database.isTransaction) database.exec("ROLLBACK");
        throw error;
      }
    },
    [Symbol.dispose]: () => database.close(),
  };
}

class DamagedError extends Error {}

const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;
const isDamage = (error: unknown): boolean =>
  error instanceof DamagedError || [sqliteCorrupt, sqliteNotADatabase].includes((error as { errcode?: number }).errcode ?? 0);
