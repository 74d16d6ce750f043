/**
 * What humans were asked and how it was decided: read from the event log, kept in SQLite so that a start need not read all of
 * it again.
 *
 * 1. The log decides: a request ends by the first event with the id `REQUEST/ended`, be it a decision, its expiry or its withdrawal.
 * 2. Of requests that have ended, the latest `endedRequests` are remembered.
 */
import { CodedError } from "../../daemon/errors.ts";
import type { Database, EventRecord, LogPosition, ModuleContext, Projection, SqlStatement } from "../../daemon/module.ts";
import type { Approval } from "./wire.ts";

const endedRequests = 1000;

/** Another layout is another name, so that an older file is left alone and filled anew. */
const tables = `
  CREATE TABLE IF NOT EXISTS requests_1 (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS position_1 (one INTEGER PRIMARY KEY CHECK (one = 1), log TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;
`;

export class Register implements AsyncDisposable {
  readonly #requests = new Map<string, Approval>();
  /** By the message that asked. */
  readonly #byMessage = new Map<string, string>();
  readonly #ended = new Set<string>();
  readonly #database: Database;
  readonly #put: SqlStatement;
  readonly #remove: SqlStatement;
  readonly #moveTo: SqlStatement;
  #projection: Projection | undefined;

  private constructor(database: Database) {
    this.#database = database;
    database.exec(tables);
    this.#put = database.prepare("INSERT OR REPLACE INTO requests_1 (id, record) VALUES (?, ?)");
    this.#remove = database.prepare("DELETE FROM requests_1 WHERE id = ?");
    this.#moveTo = database.prepare("INSERT OR REPLACE INTO position_1 (one, log, seq) VALUES (1, ?, ?)");
  }

  /** Resolves when everything that the log held is known. */
  static async open(context: ModuleContext): Promise<Register> {
    const database = context.openDatabase();
    const register = new Register(database);
    const { log } = await context.position();
    const place = database.prepare("SELECT log, seq FROM position_1").get();
    // Of another log than this one nothing is known.
    if (place !== undefined && place.log !== log) database.exec("DELETE FROM requests_1; DELETE FROM position_1;");
    for (const { record } of database.prepare("SELECT record FROM requests_1 ORDER BY id").all()) register.keep(JSON.parse(String(record)));
    register.#projection = await context.project({
      types: ["approval:*"],
      ...(place && { after: { log: String(place.log), seq: Number(place.seq) } }),
      handle: (events, position) => register.#handle(events, position),
    });
    await register.#projection.caughtUp;
    return register;
  }

  /** Resolves once everything that the log holds now is known, whoever wrote it. */
  async current(signal: AbortSignal): Promise<void> {
    await this.#projection?.current(signal);
  }

  /** As get(), but as the log tells of it now, whoever wrote it. @throws CodedError APPROVAL_NOT_FOUND; the signal's reason */
  async find(id: string, signal: AbortSignal): Promise<Approval> {
    await this.current(signal);
    return this.get(id);
  }

  /** @throws CodedError APPROVAL_NOT_FOUND */
  get(id: string): Approval {
    const found = this.#requests.get(id);
    if (found === undefined) throw new CodedError("APPROVAL_NOT_FOUND", `There is no request for approval ${id}.`, { id });
    return found;
  }

  /** What this message has asked for. */
  askedBy(message: string): Approval | undefined {
    return this.#requests.get(this.#byMessage.get(message) ?? "");
  }

  all(): Approval[] {
    return [...this.#requests.values()];
  }

  pending(): Approval[] {
    return this.all().filter(({ state }) => state === "pending");
  }

  /** What an event says; told before the log delivers it, and again, without effect, when it does. */
  keep(request: Approval): void {
    const known = this.#requests.get(request.id);
    if (known !== undefined && known.state !== "pending" && request.used_at === undefined) return;
    this.#requests.set(request.id, request);
    this.#byMessage.set(request.request, request.id);
    if (request.state !== "pending") this.#ended.add(request.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
    this.#database[Symbol.dispose]();
  }

  #handle(events: readonly EventRecord[], position: LogPosition): void {
    const touched = events.map(({ data }) => data as Approval);
    for (const request of touched) this.keep(request);
    const forgotten = this.#forgetOldest();
    this.#database.transaction(() => {
      for (const { id } of touched) this.#put.run(id, JSON.stringify(this.#requests.get(id)));
      for (const id of forgotten) this.#remove.run(id);
      this.#moveTo.run(position.log, position.seq);
    });
  }

  #forgetOldest(): string[] {
    const oldest = [...this.#ended].slice(0, Math.max(0, this.#ended.size - endedRequests));
    for (const id of oldest) {
      this.#byMessage.delete(this.#requests.get(id)?.request ?? "");
      this.#requests.delete(id);
      this.#ended.delete(id);
    }
    return oldest;
  }
}
