/** The tables of the module. All of it is made again from the event log when it is lost, or of an older version. */
import type { Database } from "../../../daemon/module.ts";

const version = 3;

const names = ["progress", "decisions", "texts", "awaited", "slots", "tallies", "policies", "comparisons", "sides", "waiting"];
const each = (statement: string): string => names.map((name) => `${statement} ${name};`).join(" ");

const tables = `
  ${each("DROP TABLE IF EXISTS")}

  CREATE TABLE progress (log TEXT NOT NULL, seq INTEGER NOT NULL);

  -- A selection; with its outcome, once it has one. The ordinal counts the outcomes of the slot.
  CREATE TABLE decisions (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, slot TEXT NOT NULL, request TEXT NOT NULL, owner TEXT NOT NULL,
    choice TEXT NOT NULL, graded_by TEXT, -- the definition of its reward as JSON, if it has one of its own
    ordinal INTEGER, reward REAL, desirable INTEGER -- 1 good, 0 bad, NULL as usual
  );
  -- The data of its event: apart, since a row is written anew when its outcome comes.
  CREATE TABLE texts (seq INTEGER PRIMARY KEY, selected TEXT NOT NULL);
  CREATE TRIGGER forget_text AFTER DELETE ON decisions BEGIN DELETE FROM texts WHERE seq = old.seq; END;
  CREATE INDEX decisions_by_request ON decisions (request);
  CREATE UNIQUE INDEX outcomes ON decisions (slot, ordinal) WHERE ordinal IS NOT NULL;
  CREATE INDEX pending ON decisions (seq) WHERE ordinal IS NULL;

  -- What will tell the outcome of a decision: the end of a run, of a tool call, of an approval.
  CREATE TABLE awaited (source TEXT NOT NULL, key TEXT NOT NULL, decision TEXT NOT NULL, PRIMARY KEY (source, key, decision)) WITHOUT ROWID;
  CREATE INDEX awaited_by_decision ON awaited (decision);

  -- Used: the place in the log of the last selection or outcome; of a candidate, of its last outcome.
  CREATE TABLE slots (
    slot TEXT PRIMARY KEY, selections INTEGER NOT NULL, outcomes INTEGER NOT NULL, total REAL NOT NULL, used INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE tallies (
    slot TEXT NOT NULL, candidate TEXT NOT NULL, outcomes INTEGER NOT NULL, total REAL NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (slot, candidate)
  ) WITHOUT ROWID;

  -- Policies that learn from each outcome, as they were after the outcome with this ordinal.
  CREATE TABLE policies (
    slot TEXT NOT NULL, policy TEXT NOT NULL, through INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (slot, policy)
  ) WITHOUT ROWID;

  -- What was added up for comparisons, and the selections that wait for that, as JSON.
  CREATE TABLE comparisons (slot TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE sides (slot TEXT NOT NULL, candidate TEXT NOT NULL, side TEXT NOT NULL, PRIMARY KEY (slot, candidate)) WITHOUT ROWID;
  CREATE TABLE waiting (decision TEXT PRIMARY KEY, slot TEXT NOT NULL, number INTEGER NOT NULL, selection TEXT NOT NULL) WITHOUT ROWID;

  PRAGMA user_version = ${version};
`;

export function prepareTables(database: Database): void {
  if (database.prepare("PRAGMA user_version").get()?.user_version === version) return;
  database.transaction(() => database.exec(tables));
}

/** Forgets everything, as for another log. */
export const clearTables = (database: Database): void => database.exec(each("DELETE FROM"));
