/**
 * The repository in SQLite: compositions at HEAD, their history, the decisions. Made again from git at any time.
 *
 * 1. What is answered is at least as new as the HEAD at the time of the question: that costs one look at the branch.
 * 2. Only what changed is read; a branch that was rewritten is read anew.
 * 3. One refresh at a time. Rows that a crash leaves half done are done again: progress is written last.
 * 4. What is invalid is a row that says so, and is told once in an event. Edits of derived fields are told too, and have no effect.
 * 5. What is damaged is named and hides nothing else; once it is mended all is read anew.
 */
import { CodedError } from "../../../daemon/errors.ts";
import { derivedId } from "../../../daemon/events/message-ids.ts";
import type { Database, FileState, ModuleContext, SqlStatement } from "../../../daemon/module.ts";
import { type CompositionFields, type CompositionType, compositionTypes, tryReadComposition } from "../content.ts";
import { findEdits, withoutEdits } from "../derived-fields.ts";
import { type Composition, pathOf, placeOf } from "../store.ts";
import { Damage } from "./damage.ts";
import { DecisionRows } from "./decision-rows.ts";
import { History } from "./history.ts";
import { readPaced } from "./paced.ts";
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
  /** With what the daemon itself derives, whatever the text says of that. Undefined if the text is invalid: then there are issues. */
  readonly fields?: CompositionFields;
  readonly issues?: readonly Issue[];
}

type FileAtHead = Pick<Entry, "name" | "type" | "path" | "blob">;

export class Catalogue implements AsyncDisposable {
  readonly history: History;
  readonly decisions: DecisionRows;
  readonly performance: PerformanceRecord;
  readonly #context: ModuleContext;
  readonly #database: Database;
  readonly #damage: Damage;
  readonly #insert: { readonly composition: SqlStatement; readonly text: SqlStatement };
  readonly #remove: { readonly composition: SqlStatement; readonly text: SqlStatement };
  readonly #entries = new Map<string, Entry>();
  readonly #timer: NodeJS.Timeout;
  #head: string | undefined;
  /** The last refresh in turn; one under way may have looked at an older HEAD than later callers know of. */
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #refreshing = false;
  /** Something can be read again that could not. */
  #isMended = false;
  #closed = false;

  constructor(context: ModuleContext) {
    this.#context = context;
    this.#database = context.openDatabase();
    prepareTables(this.#database);
    const prepare = (sql: string) => this.#database.prepare(sql);
    this.#insert = {
      composition: prepare("INSERT INTO compositions (path, name, type, blob, fields, issues) VALUES (?, ?, ?, ?, ?, ?) RETURNING id"),
      text: prepare("INSERT INTO texts (rowid, name, tags, description, content) VALUES (?, ?, ?, ?, ?)"),
    };
    this.#remove = {
      composition: prepare("DELETE FROM compositions WHERE path = ? RETURNING id"),
      text: prepare("DELETE FROM texts WHERE rowid = ?"),
    };
    this.#damage = new Damage(this.#database, context.repository);
    this.history = new History(this.#database, context.repository, this.#damage);
    this.decisions = new DecisionRows(this.#database, context.repository, this.#damage);
    this.performance = new PerformanceRecord(context, this.#database);
    this.#head = progressOf(this.#database, "head");
    for (const row of this.#database.prepare("SELECT * FROM compositions").all()) {
      const entry = entryOf(row);
      this.#entries.set(entry.path, entry);
    }
    const look = () => this.refresh().catch((error: unknown) => context.log.warn({ err: error }, "the catalogue is behind"));
    this.#timer = setInterval(look, lookEvery).unref();
    void look(); // so that nobody waits for a large repository to be read
  }

  /**
   * Brings the catalogue to the present HEAD.
   * @throws CodedError REPOSITORY_UNAVAILABLE if that cannot be read and nothing is known from earlier
   */
  async refresh(): Promise<void> {
    const head = await this.#context.repository.head();
    if (await this.#damage.isMended()) this.#isMended = true;
    if (head === this.#head && !this.#refreshing && !this.#isMended) return;
    this.#next ??= this.#inTurn(() => {
      this.#next = undefined;
      return this.#refresh();
    });
    await this.#next;
  }

  /** Is there a composition of this name, of whatever type, readable or not? */
  has(name: string): boolean {
    return compositionTypes.some((type) => this.#entries.has(pathOf(type, name)));
  }

  /** A composition with what the daemon itself derives, where the index knows better than the text. */
  async correct(composition: Composition): Promise<Composition> {
    if (!this.entryOf(composition)) await this.refresh();
    return { ...composition, fields: this.entryOf(composition)?.fields ?? composition.fields };
  }

  /** Undefined for what is not at HEAD, or not yet read from there. */
  entryOf({ file: { path, blob } }: Composition): Entry | undefined {
    const entry = this.#entries.get(path);
    return entry?.blob === blob ? entry : undefined;
  }

  /** All compositions, in no particular order. */
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
    if (this.#isMended) this.#forget();
    const head = await repository.head();
    if (head === this.#head) return;
    if (head === undefined) return this.#forget();
    const files = await this.#compare(head);
    if (!files) return;
    // A damaged commit far back in history keeps nobody from the present.
    const follows = await this.history.extend(head).catch((error: unknown) => {
      log.warn({ err: error }, "the history cannot be read to its end");
      return true;
    });
    if (!follows) {
      this.#forget();
      return this.#refresh();
    }
    await this.decisions.update(files, head);
    await this.#update(files);
    setProgress(this.#database, "head", head);
    this.#head = head;
    this.#report().catch((error: unknown) => log.warn({ err: error }, "invalid compositions are not told yet"));
  }

  /** @returns undefined if the commit is damaged; then what is known of the one before is better than nothing */
  async #compare(head: string): Promise<FileState[] | undefined> {
    try {
      return await this.#context.repository.compare(this.#head, head);
    } catch (error) {
      if (this.#head === undefined || !(error instanceof CodedError)) throw error;
      this.#context.log.warn({ err: error }, "the newest commit cannot be read");
      return undefined;
    }
  }

  async #update(files: readonly FileState[]): Promise<void> {
    const places = files.flatMap(({ path, blob }) => {
      const place = placeOf(path);
      return place ? [{ ...place, path, blob }] : [];
    });
    await readPaced(
      places,
      ({ blob }) => this.#damage.tryRead(async () => (blob === null ? undefined : this.#context.repository.readBlob(blob))),
      ({ blob, ...place }, text) => {
        this.#database.transaction(() => {
          this.#drop(place.path);
          if (blob !== null && text !== undefined) this.#take({ ...place, blob }, text);
        });
      },
    );
  }

  #take(file: FileAtHead, text: string | CodedError): void {
    const entry: Entry = { ...file, ...(text instanceof CodedError ? { issues: [wholeFile(text)] } : this.#read(file, text)) };
    const { name, type, path, blob } = entry;
    const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value));
    const row = this.#insert.composition.get(path, name, type, blob, json(entry.fields), json(entry.issues));
    const words = `${name} ${name.replaceAll(/[_.-]/g, " ")}`;
    const { tags, description = "" } = entry.fields ?? {};
    this.#insert.text.run(Number(row?.id), words, tags?.join(" ") ?? "", description, text instanceof CodedError ? "" : text);
    this.#entries.set(path, entry);
  }

  #read({ name, type, path, blob }: FileAtHead, text: string): Pick<Entry, "fields" | "issues"> {
    const fields = tryReadComposition(text, { name, type });
    if (fields instanceof CodedError) return { issues: (fields.details.issues as Issue[] | undefined) ?? [wholeFile(fields)] };
    const known = this.history.lineagesOf(path, blob);
    const edits = findEdits(fields, text, known);
    return edits.length === 0 ? { fields } : { fields: withoutEdits(fields, edits, known), issues: edits };
  }

  #drop(path: string): void {
    const row = this.#remove.composition.get(path);
    if (row) this.#remove.text.run(Number(row.id));
    this.#entries.delete(path);
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
      await this.#context.emit(invalidEvent, data, undefined, { id: derivedId(commit, `invalid/${path}`) });
      if (this.#closed) return;
      this.#database.prepare("UPDATE compositions SET reported = 1 WHERE path = ? AND blob = ?").run(path, row.blob as string);
    }
  }

  #forget(): void {
    this.#database.transaction(() => clearGitTables(this.#database));
    this.#damage.forget();
    this.#isMended = false;
    this.#entries.clear();
    this.#head = undefined;
  }
}

const wholeFile = ({ message }: CodedError): Issue => ({ message, line: 1, column: 1 });

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
