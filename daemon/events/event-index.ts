/**
 * Finds events by id, correlation, causation, run, type and time: a SQLite projection of the log, rebuildable at any time.
 *
 * 1. The rows are those of the log's events up to `#indexed`, without a gap. They hold no payloads.
 * 2. They belong to one log: another identity starts the index afresh.
 * 3. One catch-up runs at a time. A query sees all that was acknowledged before it, so it waits for one that began after it.
 * 4. Emitting costs nothing extra: what nobody asks for is indexed when the daemon is idle. A busy one goes on by a batch a
 *    second, and to the end when it was not there for five minutes: the server forgets ids after ten, and then only the index
 *    tells a repetition.
 * 5. A batch is stored wholly or not at all; a failure (a full disk) leaves no transaction open, and the next tick tries again.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { matches } from "../names.ts";
import { shared } from "../shared.ts";
import type { EventAttributes } from "./envelope.ts";
import type { EventLog } from "./event-log.ts";

export interface IndexQuery {
  /** Name patterns, any of which may match; undefined = all. */
  readonly types?: readonly string[];
  readonly run?: string;
  readonly correlation?: string;
  readonly causation?: string;
  /** Milliseconds since the epoch, inclusive / exclusive. */
  readonly since?: number;
  readonly until?: number;
  /** Only later sequences. */
  readonly after?: number;
  readonly limit: number;
}

const batchSize = 1_000;
/** Rows that are stored before others get in between. */
const storedAtOnce = 200;
const idleTick = 1_000;
/** Share of time the event loop may have been busy for a tick to take more than one batch. */
const busy = 0.3;
/** Milliseconds that an event may wait for its row. */
const longestLag = 5 * 60_000;
/** Types that a query follows one by one; with more it reads all rows in order. */
const mostTypes = 100;

const schema = `
  CREATE TABLE IF NOT EXISTS log (identity TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, time INTEGER NOT NULL,
    correlation TEXT NOT NULL, causation TEXT, run TEXT
  );
  CREATE INDEX IF NOT EXISTS by_id ON events (id);
  CREATE INDEX IF NOT EXISTS by_type ON events (type);
  CREATE INDEX IF NOT EXISTS by_time ON events (time);
  CREATE INDEX IF NOT EXISTS by_correlation ON events (correlation);
  CREATE INDEX IF NOT EXISTS by_causation ON events (causation) WHERE causation IS NOT NULL;
  CREATE INDEX IF NOT EXISTS by_run ON events (run) WHERE run IS NOT NULL;
`;

/** From each type the index leads to the next, past all rows between them. */
const everyType = `
  WITH RECURSIVE types (type) AS (
    SELECT min(type) FROM events
    UNION ALL
    SELECT (SELECT min(type) FROM events WHERE type > types.type) FROM types WHERE type IS NOT NULL
  )
  SELECT type FROM types WHERE type IS NOT NULL LIMIT 10000
`;

type Row = [seq: number, id: string, type: string, time: number, correlation: string, causation: string | null, run: string | null];

export class EventIndex implements Disposable {
  readonly #log: EventLog;
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #byId: StatementSync;
  readonly #everyType: StatementSync;
  readonly #timeBounds: StatementSync;
  readonly #timer: NodeJS.Timeout;
  #utilization = performance.eventLoopUtilization();
  #indexed: number;
  /** When it last was at the end of the log, in milliseconds since the epoch. Before the first time, rows may be long missing. */
  #completeAt = 0;
  /** The last in turn. A catch-up under way may have asked for the end of the log before what later callers know to be stored. */
  #current: Promise<void> = Promise.resolve();
  #ticking = false;
  #closed = false;

  constructor(options: { file: string; log: EventLog; logger: Logger }) {
    this.#log = options.log;
    this.#database = new DatabaseSync(options.file);
    // Losing the last rows in a crash is harmless: they are read from the log again.
    this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    this.#database.exec(schema);
    this.#forgetOtherLogs();
    this.#insert = this.#database.prepare("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#byId = this.#database.prepare("SELECT seq, type FROM events WHERE id = ? ORDER BY seq");
    this.#timeBounds = this.#database.prepare("SELECT min(seq) AS first, max(seq) AS last FROM events WHERE time >= ? AND time < ?");
    this.#everyType = this.#database.prepare(everyType);
    this.#indexed = Number(this.#database.prepare("SELECT max(seq) AS last FROM events").get()?.last ?? 0);
    this.#timer = setInterval(() => {
      this.#tick().catch((error: unknown) => {
        if (!this.#closed) options.logger.warn({ error }, "the event index is behind");
      });
    }, idleTick).unref();
  }

  /** Sequence of the event with this id, of a type that the pattern covers, among those indexed so far. */
  findById(id: string, pattern = "*"): number | undefined {
    const row = this.#byId.all(id).find(({ type }) => matches(pattern, String(type)));
    return row && Number(row.seq);
  }

  /** Sequences that match, ascending. */
  async query(query: IndexQuery): Promise<number[]> {
    await this.catchUp();
    const { since = Number.MIN_SAFE_INTEGER, until = Number.MAX_SAFE_INTEGER } = query;
    let { after = 0 } = query;
    const conditions: string[] = ["seq > ?"];
    const values: SQLInputValue[] = [];
    const add = (condition: string, value: SQLInputValue | undefined) => {
      if (value === undefined) return;
      conditions.push(condition);
      values.push(value);
    };
    add("run = ?", query.run);
    add("correlation = ?", query.correlation);
    add("causation = ?", query.causation);
    if (query.since !== undefined || query.until !== undefined) {
      // Sequences follow the time but for a little, so between their bounds hardly a row is refused. The plus: as below.
      const bounds = this.#timeBounds.get(since, until);
      if (bounds?.first == null) return [];
      after = Math.max(after, Number(bounds.first) - 1);
      add("seq <= ?", bounds.last);
      add("+time >= ?", since);
      add("+time < ?", until);
    }
    values.unshift(after);
    const select = () => `SELECT seq FROM events WHERE ${conditions.join(" AND ")}`;
    const few = query.run ?? query.correlation ?? query.causation;
    const types = few === undefined && query.types !== undefined ? this.#typesOf(query.types) : undefined;
    if (types === undefined) {
      if (query.types !== undefined) {
        // GLOB's only special character in a name pattern is our own `*`. The plus keeps SQLite from the index by type: it would sort.
        conditions.push(`(${query.types.map(() => "+type GLOB ?").join(" OR ")})`);
        values.push(...query.types);
      }
      return this.#sequences(select(), values, query.limit);
    }
    if (types.length === 0) return [];
    // Each type's rows in order, merged: it ends at the limit, however many rows match.
    conditions.push("type = ?");
    const merged = types.map(select).join(" UNION ALL ");
    return this.#sequences(
      merged,
      types.flatMap((type) => [...values, type]),
      query.limit,
    );
  }

  /** Indexes everything that the log holds now. */
  readonly catchUp = shared(() => this.#inTurn(() => this.#catchUp()));

  [Symbol.dispose](): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#database.close();
  }

  #sequences(select: string, values: readonly SQLInputValue[], limit: number): number[] {
    const rows = this.#database.prepare(`${select} ORDER BY seq LIMIT ?`).all(...values, limit);
    return rows.map((row) => Number(row.seq));
  }

  /** The types in the log that match, or undefined when they are too many to follow one by one. */
  #typesOf(patterns: readonly string[]): string[] | undefined {
    const exact = patterns.every((pattern) => !pattern.includes("*"));
    const known = exact ? [...new Set(patterns)] : this.#everyType.all().map(({ type }) => String(type));
    const matching = known.filter((type) => patterns.some((pattern) => matches(pattern, type)));
    return matching.length > mostTypes ? undefined : matching;
  }

  async #catchUp(): Promise<void> {
    const last = await this.#log.lastSequence();
    const asked = Date.now();
    await this.#indexUpTo(last);
    if (!this.#closed) this.#completeAt = asked;
  }

  async #tick(): Promise<void> {
    if (this.#ticking) return;
    this.#ticking = true;
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#utilization);
    this.#utilization = now;
    const late = Date.now() - this.#completeAt > longestLag;
    await (utilization < busy || late ? this.catchUp() : this.#inTurn(() => this.#indexBatch())).finally(() => {
      this.#ticking = false;
    });
  }

  async #indexBatch(): Promise<void> {
    const last = await this.#log.lastSequence();
    await this.#indexUpTo(Math.min(last, this.#indexed + batchSize));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#current.then(work);
    this.#current = done.catch(() => {});
    return done;
  }

  async #indexUpTo(last: number): Promise<void> {
    let rows: Row[] = [];
    for await (const event of this.#log.readRange(this.#indexed + 1, last)) {
      if (this.#closed) return;
      rows.push(rowOf(event));
      if (rows.length < storedAtOnce) continue;
      this.#store(rows, event.seq);
      rows = [];
      await nextTurn();
    }
    if (!this.#closed) this.#store(rows, last);
  }

  /** @param last the sequence up to which these are all: a message without the headers of an event has no row */
  #store(rows: readonly Row[], last: number): void {
    this.#transaction(() => {
      for (const row of rows) this.#insert.run(...row);
    });
    this.#indexed = Math.max(this.#indexed, last);
  }

  #transaction(work: () => void): void {
    this.#database.exec("BEGIN");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (error) {
      // Some failures end the transaction by themselves.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  #forgetOtherLogs(): void {
    const known = this.#database.prepare("SELECT identity FROM log").get()?.identity;
    if (known === this.#log.identity) return;
    this.#transaction(() => {
      this.#database.exec("DELETE FROM events; DELETE FROM log;");
      this.#database.prepare("INSERT INTO log VALUES (?)").run(this.#log.identity);
    });
  }
}

function rowOf({ seq, id, type, time, correlation, causation, run }: EventAttributes): Row {
  return [seq, id, type, Date.parse(time) || 0, correlation, causation ?? null, run ?? null];
}
