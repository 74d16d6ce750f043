/**
 * The repository in SQLite: compositions at HEAD, their history, the decisions. Made again from git at any time.
 *
 * 1. What is answered is at least as new as the HEAD at the time of the question: that costs one look at the branch.
 * 2. Only what changed is read; a branch that was rewritten is read anew.
 * 3. One refresh at a time. Rows that a crash leaves half done are done again: progress is written last.
 * 4. What is invalid is a row that says so, and is told once in an event.
 */
import { CodedError } from "../../../daemon/errors.ts";
import type { Database, FileState, ModuleContext } from "../../../daemon/module.ts";
import { type CompositionFields, type CompositionType, tryReadComposition } from "../content.ts";
import { placeOf } from "../store.ts";
import { DecisionRows } from "./decision-rows.ts";
import { History } from "./history.ts";
import { inParallel } from "./parallel.ts";
import { PerformanceRecord } from "./performance.ts";
import { clearGitTables, prepareTables, progressOf, setProgress } from "./tables.ts";

export const invalidEvent = "composition:invalid";
/** Milliseconds between looks for commits by hand when nobody asks. */
const lookEvery = 5_000;

export interface Issue {
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly path?: string;
}

/** A composition at HEAD. */
export interface Entry {
  readonly name: string;
  readonly type: CompositionType;
  readonly path: string;
  readonly blob: string;
  /** Undefined if the text is invalid: then there are issues. */
  readonly fields?: CompositionFields;
  readonly issues?: Issue[];
}

export class Catalogue implements AsyncDisposable {
  readonly history: History;
  readonly decisions: DecisionRows;
  readonly performance: PerformanceRecord;
  readonly #context: ModuleContext;
  readonly #database: Database;
  readonly #entries = new Map<string, Entry>();
  readonly #timer: NodeJS.Timeout;
  #head: string | undefined;
  /** The last refresh in turn; one under way may have looked at an older HEAD than later callers know of. */
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #refreshing = false;
  #closed = false;

  constructor(context: ModuleContext) {
    this.#context = context;
    this.#database = context.openDatabase();
    prepareTables(this.#database);
    this.history = new History(this.#database, context.repository);
    this.decisions = new DecisionRows(this.#database, context.repository);
    this.performance = new PerformanceRecord(context, this.#database);
    this.#head = progressOf(this.#database, "head");
    for (const row of this.#database.prepare("SELECT * FROM compositions").all()) this.#remember(entryOf(row));
    this.#timer = setInterval(() => {
      this.refresh().catch((error: unknown) => context.log.warn({ err: error }, "the catalogue is behind"));
    }, lookEvery).unref();
  }

  /** Brings the catalogue to the present HEAD. */
  async refresh(): Promise<void> {
    const head = await this.#context.repository.head();
    if (head === this.#head && !this.#refreshing) return;
    this.#next ??= this.#inTurn(() => {
      this.#next = undefined;
      return this.#refresh();
    });
    await this.#next;
  }

  /** All compositions, by type and name. */
  entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  /** The paths of texts that fit a query best, best first, with a rank (higher is better). */
  search(query: string): Map<string, number> {
    const words = query.match(/[\p{L}\p{N}]+/gu)?.slice(0, 64) ?? [];
    if (words.length === 0) return new Map();
    const rows = this.#database
      .prepare(
        "SELECT path, -bm25(texts, 10, 5, 4, 1) AS rank FROM texts JOIN compositions ON compositions.id = texts.rowid WHERE texts MATCH ? ORDER BY rank DESC",
      )
      .all(words.map((word) => `"${word}"`).join(" OR "));
    return new Map(rows.map(({ path, rank }) => [String(path), Number(rank)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.performance[Symbol.asyncDispose]();
    await this.#current;
    this.#database[Symbol.dispose]();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#current.then(async () => {
      if (this.#closed) return;
      this.#refreshing = true;
      await work().finally(() => {
        this.#refreshing = false;
      });
    });
    this.#current = done.catch(() => undefined);
    return done;
  }

  async #refresh(): Promise<void> {
    const { repository, log } = this.#context;
    const head = await repository.head();
    if (head === this.#head) return;
    if (head === undefined) return this.#forget();
    // A damaged object far back in history keeps nobody from the present.
    const follows = await this.history.extend(head).catch((error: unknown) => {
      log.warn({ err: error }, "the history cannot be read to its end");
      return true;
    });
    if (!follows) {
      this.#forget();
      return this.#refresh();
    }
    const files = await repository.compare(this.#head, head);
    await this.decisions.update(files, head);
    // Until all is read, the next question tries again.
    if (!(await this.#update(files))) return;
    setProgress(this.#database, "head", head);
    this.#head = head;
    this.#report().catch((error: unknown) => log.warn({ err: error }, "invalid compositions are not told yet"));
  }

  /** @returns false if a text cannot be read, because its object is damaged; it is listed as invalid meanwhile */
  async #update(files: readonly FileState[]): Promise<boolean> {
    let isComplete = true;
    const changes: { path: string; entry?: Entry; text?: string }[] = [];
    await inParallel(files, async ({ path, blob }) => {
      const place = placeOf(path);
      if (!place) return;
      if (blob === null) {
        changes.push({ path });
        return;
      }
      const text = await this.#context.repository.readBlob(blob).catch((error: unknown) => {
        if (error instanceof CodedError) return error;
        throw error;
      });
      if (text instanceof CodedError) {
        isComplete = false;
        this.#remember({ ...place, path, blob, issues: [{ message: text.message, line: 1, column: 1 }] });
        return;
      }
      const fields = tryReadComposition(text, place);
      const said = fields instanceof CodedError ? { issues: fields.details.issues as Issue[] } : { fields };
      changes.push({ path, entry: { ...place, path, blob, ...said }, text });
    });
    this.#database.transaction(() => {
      const drop = [
        "DELETE FROM texts WHERE rowid IN (SELECT id FROM compositions WHERE path = ?)",
        "DELETE FROM compositions WHERE path = ?",
      ].map((sql) => this.#database.prepare(sql));
      const insert = this.#database.prepare(
        "INSERT INTO compositions (path, name, type, blob, fields, issues) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
      );
      const insertText = this.#database.prepare("INSERT INTO texts (rowid, name, tags, description, content) VALUES (?, ?, ?, ?, ?)");
      for (const { path, entry, text } of changes) {
        for (const statement of drop) statement.run(path);
        if (!entry) continue;
        const { name, type, blob, fields, issues } = entry;
        const row = insert.get(path, name, type, blob, fields ? JSON.stringify(fields) : null, issues ? JSON.stringify(issues) : null);
        const words = name.replaceAll(/[_.-]/g, " ");
        insertText.run(Number(row?.id), `${name} ${words}`, fields?.tags?.join(" ") ?? "", fields?.description ?? "", text ?? "");
      }
    });
    for (const { path, entry } of changes) {
      if (entry) this.#remember(entry);
      else this.#entries.delete(path);
    }
    return isComplete;
  }

  /** Tells of each invalid file once per commit that made it so; the id makes a repetition harmless. */
  async #report(): Promise<void> {
    const rows = this.#database.prepare("SELECT * FROM compositions WHERE issues IS NOT NULL AND reported = 0").all();
    for (const row of rows) {
      const { name, type, path, issues = [] } = entryOf(row);
      const [change] = this.history.of(path, 1);
      const commit = change?.commit ?? this.#head ?? "";
      const data = { name, type, path, commit, author: change?.author.name ?? "", issues };
      this.#context.log.warn({ path, commit, issues }, "a composition is invalid");
      await this.#context.emit(invalidEvent, data, undefined, { id: `${invalidEvent}:${commit}:${path}` });
      if (this.#closed) return;
      this.#database.prepare("UPDATE compositions SET reported = 1 WHERE path = ? AND blob = ?").run(path, row.blob as string);
    }
  }

  #forget(): void {
    this.#database.transaction(() => clearGitTables(this.#database));
    this.#entries.clear();
    this.#head = undefined;
  }

  #remember(entry: Entry): void {
    this.#entries.set(entry.path, entry);
  }
}

function entryOf(row: Record<string, unknown>): Entry {
  return {
    name: String(row.name),
    type: row.type as CompositionType,
    path: String(row.path),
    blob: String(row.blob),
    ...(row.fields !== null && { fields: JSON.parse(String(row.fields)) }),
    ...(row.issues !== null && { issues: JSON.parse(String(row.issues)) }),
  };
}
