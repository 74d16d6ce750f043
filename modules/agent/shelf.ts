/** The registry in SQLite: agents, unanswered messages, and how far in the log they reach. */
import type { Database, LogPosition } from "../../daemon/module.ts";
import type { AgentRecord, Pending } from "./registry.ts";

export interface Shelf extends Disposable {
  /** Of the data folder, the same after a restart. @param newId gives it at first */
  identity(newId: () => string): string;
  /** Of another log than this one nothing is known. */
  read(log: string): { agents: AgentRecord[]; messages: Pending[]; position: LogPosition | undefined };
  /** All of it or nothing; undefined removes. */
  write(changes: {
    agents: ReadonlyMap<string, AgentRecord | undefined>;
    messages: ReadonlyMap<string, Pending | undefined>;
    position: LogPosition;
  }): void;
}

/** Another layout is another name, so that an older file is left alone and filled anew. */
const tables = `
  CREATE TABLE IF NOT EXISTS agents_2 (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS messages_2 (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS position_2 (one INTEGER PRIMARY KEY CHECK (one = 1), log TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;
`;

export function openShelf(database: Database): Shelf {
  database.exec(tables);
  const writer = (table: string) => {
    const put = database.prepare(`INSERT OR REPLACE INTO ${table} (id, record) VALUES (?, ?)`);
    const remove = database.prepare(`DELETE FROM ${table} WHERE id = ?`);
    return (records: ReadonlyMap<string, object | undefined>) => {
      for (const [id, record] of records) {
        if (record === undefined) remove.run(id);
        else put.run(id, JSON.stringify(record));
      }
    };
  };
  const writeAgents = writer("agents_2");
  const writeMessages = writer("messages_2");
  const moveTo = database.prepare("INSERT OR REPLACE INTO position_2 (one, log, seq) VALUES (1, ?, ?)");
  const recordsIn = <Record>(table: string): Record[] =>
    database
      .prepare(`SELECT record FROM ${table} ORDER BY id`)
      .all()
      .map(({ record }) => JSON.parse(String(record)) as Record);

  return {
    identity(newId) {
      database.prepare("INSERT OR IGNORE INTO identity (one, id) VALUES (1, ?)").run(newId());
      return String(database.prepare("SELECT id FROM identity").get()?.id);
    },
    read(log) {
      const place = database.prepare("SELECT log, seq FROM position_2").get();
      if (place !== undefined && place.log !== log) {
        database.exec("DELETE FROM agents_2; DELETE FROM messages_2; DELETE FROM position_2;");
        return { agents: [], messages: [], position: undefined };
      }
      return {
        agents: recordsIn<AgentRecord>("agents_2"),
        messages: recordsIn<Pending>("messages_2"),
        position: place && { log: String(place.log), seq: Number(place.seq) },
      };
    },
    write({ agents, messages, position }) {
      database.transaction(() => {
        writeAgents(agents);
        writeMessages(messages);
        moveTo.run(position.log, position.seq);
      });
    },
    [Symbol.dispose]: () => database[Symbol.dispose](),
  };
}
