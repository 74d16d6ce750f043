/** The tables of the catalogue. All of it is made again from git and from the event log whenever its version changes. */
import type { Database } from "../../../daemon/module.ts";

const version = 2;

const tables = `
  DROP TABLE IF EXISTS progress;
  DROP TABLE IF EXISTS compositions;
  DROP TABLE IF EXISTS texts;
  DROP TABLE IF EXISTS commits;
  DROP TABLE IF EXISTS changes;
  DROP TABLE IF EXISTS segments;
  DROP TABLE IF EXISTS decisions;
  DROP TABLE IF EXISTS records;
  DROP TABLE IF EXISTS runs;

  CREATE TABLE progress (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

  CREATE TABLE compositions (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, name TEXT NOT NULL, type TEXT NOT NULL, blob TEXT NOT NULL,
    fields TEXT, issues TEXT, reported INTEGER NOT NULL DEFAULT 0
  );
  CREATE VIRTUAL TABLE texts USING fts5 (name, tags, description, content, tokenize = 'porter unicode61');

  CREATE TABLE commits (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time TEXT NOT NULL, author TEXT NOT NULL, email TEXT NOT NULL, message TEXT NOT NULL);
  CREATE TABLE changes (path TEXT NOT NULL, sequence INTEGER NOT NULL, blob TEXT, version TEXT, lineage TEXT, PRIMARY KEY (path, sequence)) WITHOUT ROWID;
  CREATE TABLE records (decision TEXT NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (decision, sequence)) WITHOUT ROWID;

  CREATE TABLE segments (path TEXT PRIMARY KEY, pattern TEXT NOT NULL, number INTEGER NOT NULL, blob TEXT NOT NULL, bytes INTEGER NOT NULL, problem TEXT) WITHOUT ROWID;
  CREATE TABLE decisions (
    pattern TEXT NOT NULL, segment INTEGER NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, time INTEGER NOT NULL,
    run TEXT, agent TEXT, outcome TEXT, entry TEXT NOT NULL, PRIMARY KEY (pattern, segment, position)
  ) WITHOUT ROWID;
  CREATE INDEX decisions_by_id ON decisions (id);
  CREATE INDEX decisions_by_run ON decisions (run) WHERE run IS NOT NULL;

  CREATE TABLE runs (
    pattern TEXT PRIMARY KEY, runs INTEGER NOT NULL, successes INTEGER NOT NULL, mean REAL NOT NULL, squares REAL NOT NULL, binary INTEGER NOT NULL
  ) WITHOUT ROWID;

  PRAGMA user_version = ${version};
`;

export function prepareTables(database: Database): void {
  if (database.prepare("PRAGMA user_version").get()?.user_version === version) return;
  database.transaction(() => database.exec(tables));
}

const gitTables = ["compositions", "texts", "commits", "changes", "records", "segments", "decisions"];

/** Forgets all that comes from git. */
export const clearGitTables = (database: Database): void =>
  database.exec(
    `${gitTables.map((table) => `DELETE FROM ${table};`).join(" ")} DELETE FROM progress WHERE key IN ('head', 'history', 'damage');`,
  );

export function progressOf(database: Database, key: string): string | undefined {
  const value = database.prepare("SELECT value FROM progress WHERE key = ?").get(key)?.value;
  return value === undefined ? undefined : String(value);
}

export function setProgress(database: Database, key: string, value: string): void {
  database.prepare("INSERT OR REPLACE INTO progress VALUES (?, ?)").run(key, value);
}
