/**
 * Finds events by id, correlation, causation, run, type and time: a SQLite projection of the log, rebuildable at any time.
 *
 * It holds no payloads, only where each event stands. It catches up when the daemon is idle and before every query, so that
 * emitting costs nothing extra and a query sees all that was acknowledged before it.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { Logger } from "pino";
import type { EventRecord } from "../module.ts";
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
const idleTick = 1_000;
/** Share of time the event loop may have been busy for the idle tick to take more than one batch. */
const busy = 0.3;

const schema = `
  CREATE TABLE IF NOT EXISTS log (identity TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, type TEXT NOT NULL, time INTEGER NOT NULL,
    correlation TEXT NOT NULL, causation TEXT, run TEXT
  );
  CREATE INDEX IF NOT EXISTS by_id ON events (id);
  CREATE INDEX IF NOT EXISTS by_time ON events (time);
  CREATE INDEX IF NOT EXISTS by_correlation ON events (correlation);
  CREATE INDEX IF NOT EXISTS by_causation ON events (causation) WHERE causation IS NOT NULL;
  CREATE INDEX IF NOT EXISTS by_run ON events (run) WHERE run IS NOT NULL;
`;

export class EventIndex implements Disposable {
  readonly #log: EventLog;
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #byId: StatementSync;
  readonly #timer: NodeJS.Timeout;
  #utilization = performance.eventLoopUtilization();
  #indexed: number;
  /** Under way, or done. It may have asked for the end of the log before what its later callers know to be stored. */
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #closed = false;

  constructor(options: { file: string; log: EventLog; logger: Logger }) {
    this.#log = options.log;
    this.#database = new DatabaseSync(options.file);
    // Losing the last rows in a crash is harmless: they are read from the log again.
    this.#database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;");
    this.#database.exec(schema);
    this.#forgetOtherLogs();
    this.#insert = this.#database.prepare("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)");
    this.#byId = this.#database.prepare("SELECT seq FROM events WHERE id = ? ORDER BY seq LIMIT 1");
    this.#indexed = Number(this.#database.prepare("SELECT max(seq) AS last FROM events").get()?.last ?? 0);
    this.#timer = setInterval(() => {
      this.#indexWhileIdle().catch((error: unknown) => options.logger.warn({ error }, "the event index is behind"));
    }, idleTick).unref();
  }

  /** Sequence of the event with this id among those indexed so far. */
  findById(id: string): number | undefined {
    const row = this.#byId.get(id);
    return row === undefined ? undefined : Number(row.seq);
  }

  /** Sequences that match, ascending. */
  async query(query: IndexQuery): Promise<number[]> {
    await this.catchUp();
    const conditions: string[] = ["seq > ?"];
    const values: SQLInputValue[] = [query.after ?? 0];
    const add = (condition: string, value: SQLInputValue | undefined) => {
      if (value === undefined) return;
      conditions.push(condition);
      values.push(value);
    };
    add("run = ?", query.run);
    add("correlation = ?", query.correlation);
    add("causation = ?", query.causation);
    add("time >= ?", query.since);
    add("time < ?", query.until);
    if (query.types !== undefined) {
      // GLOB's only special character in a name pattern is our own `*`.
      conditions.push(`(${query.types.map(() => "type GLOB ?").join(" OR ")})`);
      values.push(...query.types);
    }
    values.push(query.limit);
    const rows = this.#database.prepare(`SELECT seq FROM events WHERE ${conditions.join(" AND ")} ORDER BY seq LIMIT ?`).all(...values);
    return rows.map((row) => Number(row.seq));
  }

  /** Indexes everything that the log holds now; callers that come while it is under way share one more. */
  catchUp(): Promise<void> {
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      const catchingUp = this.#catchUp();
      this.#current = catchingUp.catch(() => {});
      return catchingUp;
    });
    return this.#next;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#database.close();
  }

  async #catchUp(): Promise<void> {
    const { first, last } = await this.#log.bounds();
    while (this.#indexed < last && !this.#closed) await this.#indexBatch(first);
  }

  async #indexWhileIdle(): Promise<void> {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#utilization);
    this.#utilization = now;
    if (utilization < busy) await this.catchUp();
  }

  async #indexBatch(first: number): Promise<void> {
    const from = Math.max(this.#indexed + 1, first);
    const events: EventRecord[] = [];
    for await (const event of this.#log.readFrom(from, batchSize)) events.push(event);
    if (this.#closed) return;
    this.#database.exec("BEGIN");
    for (const event of events) {
      const { seq, id, type, time, correlation, causation, run } = event;
      this.#insert.run(seq, id, type, Date.parse(time) || 0, correlation, causation ?? null, run ?? null);
    }
    this.#database.exec("COMMIT");
    // A message that is no event of ours has no row; the batch may end with such.
    this.#indexed = Math.max(events.at(-1)?.seq ?? 0, from + (events.length === 0 ? batchSize - 1 : 0));
  }

  #forgetOtherLogs(): void {
    const known = this.#database.prepare("SELECT identity FROM log").get()?.identity;
    if (known === this.#log.identity) return;
    this.#database.exec("DELETE FROM events; DELETE FROM log;");
    this.#database.prepare("INSERT INTO log VALUES (?)").run(this.#log.identity);
  }
}
