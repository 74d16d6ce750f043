/**
 * Commits in SQLite: which commit changed which composition to which version, and which recorded which decision.
 *
 * A change has a lineage (JSON; `null` = the text has none) where that is beyond doubt: a fork or a merge wrote it, or it is
 * the first that the file has since it was added. Commits by hand may lead back to such a lineage, but make none.
 */
import { CodedError } from "../../../daemon/errors.ts";
import type { CommitChange, CommitInfo, Database, Repository, SqlStatement } from "../../../daemon/module.ts";
import { readMessage } from "../commit-message.ts";
import { tryReadComposition } from "../content.ts";
import { isToldBy, type KnownLineage, type Lineage } from "../derived-fields.ts";
import { type CompositionPlace, placeOf } from "../store.ts";
import type { Damage } from "./damage.ts";
import { paced, readPaced } from "./paced.ts";
import { progressOf, setProgress } from "./tables.ts";

/** How far back a commit by hand may lead, in forks and merges. */
const mostLineages = 50;

/** A commit that changed a composition. */
export interface Change extends CommitInfo {
  /** The version that the text has since; undefined for an invalid text and a removed file. */
  readonly version?: string;
  readonly removed?: true;
  /** Place among all commits; later ones are higher. */
  readonly sequence: number;
}

/** What an index keeps of a text. */
interface Said {
  readonly version?: string | undefined;
  readonly lineage: Lineage;
}

export class History {
  readonly #database: Database;
  readonly #repository: Repository;
  readonly #damage: Damage;
  readonly #insert: { readonly commit: SqlStatement; readonly change: SqlStatement; readonly record: SqlStatement };
  readonly #isPresent: SqlStatement;
  readonly #lineages: SqlStatement;

  constructor(database: Database, repository: Repository, damage: Damage) {
    this.#database = database;
    this.#insert = {
      commit: database.prepare("INSERT INTO commits (id, time, author, email, message) VALUES (?, ?, ?, ?, ?) RETURNING sequence"),
      change: database.prepare("INSERT INTO changes VALUES (?, ?, ?, ?, ?)"),
      record: database.prepare("INSERT OR IGNORE INTO records VALUES (?, ?)"),
    };
    const sinceAdded = "path = ?1 AND sequence > coalesce((SELECT max(sequence) FROM changes WHERE path = ?1 AND blob IS NULL), 0)";
    this.#isPresent = database.prepare(`SELECT 1 FROM changes WHERE ${sinceAdded} AND blob = ?2`);
    this.#lineages = database.prepare(
      `SELECT lineage, id FROM changes JOIN commits USING (sequence) WHERE ${sinceAdded} AND lineage IS NOT NULL
       ORDER BY sequence DESC LIMIT ?2`,
    );
    this.#repository = repository;
    this.#damage = damage;
  }

  /**
   * Adds the commits that are new at the tip.
   * @returns false, having added nothing, if the tip does not follow from what is known: the branch was rewritten
   */
  async extend(tip: string): Promise<boolean> {
    const before = progressOf(this.#database, "history");
    if (tip === before) return true;
    const known = this.#database.prepare("SELECT 1 FROM commits WHERE id = ?");
    const changes: CommitChange[] = [];
    for await (const change of this.#repository.changes(tip, before)) if (!known.get(change.info.commit)) changes.push(change);
    if (before !== undefined && !changes.some(({ parents }) => parents.includes(before))) return false;
    const texts = await this.#readTexts(changes);
    await paced(changes.reverse(), (change) => this.#database.transaction(() => this.#add(change, texts)));
    setProgress(this.#database, "history", tip);
    return true;
  }

  /** Newest first; those of a place at or above `before` are left out. */
  of(path: string, limit: number, before = Number.MAX_SAFE_INTEGER): Change[] {
    const rows = this.#database
      .prepare("SELECT * FROM changes JOIN commits USING (sequence) WHERE path = ? AND sequence < ? ORDER BY sequence DESC LIMIT ?")
      .all(path, before, limit);
    return rows.map(changeOf);
  }

  /** The newest commit after which the file had the version. */
  findVersion(path: string, version: string): string | undefined {
    const row = this.#database
      .prepare("SELECT id FROM changes JOIN commits USING (sequence) WHERE path = ? AND version = ? ORDER BY sequence DESC LIMIT 1")
      .get(path, version);
    return row && String(row.id);
  }

  /** The commits whose message records the decision, oldest first: it was tracked, and got its outcome. */
  recordsOf(decision: string): string[] {
    const rows = this.#database
      .prepare("SELECT id FROM records JOIN commits USING (sequence) WHERE decision = ? ORDER BY sequence")
      .all(decision);
    return rows.map(({ id }) => String(id));
  }

  /** The lineages that a file may have, newest first; none if it never had this content since it was added. */
  lineagesOf(path: string, blob: string): KnownLineage[] {
    return this.#isPresent.get(path, blob) ? this.lineagesAt(path) : [];
  }

  /** The lineages that the present file of a path may have, newest first; none if there is no such file. */
  lineagesAt(path: string, limit = mostLineages): KnownLineage[] {
    return this.#lineages
      .all(path, limit)
      .map(({ lineage, id }) => ({ lineage: JSON.parse(String(lineage)) ?? undefined, commit: String(id) }));
  }

  #add({ info, files }: CommitChange, texts: ReadonlyMap<string, Said>): void {
    const { commit, message, author } = info;
    const row = this.#insert.commit.get(commit, author.time, author.name, author.email, message);
    const sequence = Number(row?.sequence);
    for (const { path, blob } of files) {
      if (!placeOf(path)) continue;
      const said = texts.get(`${path} ${blob}`);
      const isKnown = said && (isToldBy(message, said.lineage) || this.lineagesAt(path, 1).length === 0);
      this.#insert.change.run(path, sequence, blob, said?.version ?? null, isKnown ? JSON.stringify(said.lineage ?? null) : null);
    }
    for (const { id } of readMessage(info)?.decisions ?? []) this.#insert.record.run(id, sequence);
  }

  /** Path and blob → what the text says, unless it is invalid. */
  async #readTexts(changes: readonly CommitChange[]): Promise<Map<string, Said>> {
    const said = new Map<string, Said>();
    const texts = new Map<string, { blob: string; place: CompositionPlace }>();
    for (const { path, blob } of changes.flatMap((change) => change.files)) {
      const place = placeOf(path);
      if (blob && place) texts.set(`${path} ${blob}`, { blob, place });
    }
    await readPaced(
      [...texts],
      ([, { blob }]) => this.#damage.tryRead(() => this.#repository.readBlob(blob)),
      ([key, { place }], text) => {
        const found = text instanceof CodedError ? undefined : readQuickly(text, place);
        if (found) said.set(key, found);
      },
    );
    return said;
  }
}

const plainVersion = /^version:[ \t]*(["']?)(\d[^\s"'#]*)\1[ \t]*(?:#.*)?\r?$/gm;

/** Without reading the whole text as YAML where a line at the margin tells the version and the word lineage stands nowhere. */
function readQuickly(text: string, place: CompositionPlace): Said | undefined {
  const [first, second] = text.matchAll(plainVersion);
  if (first && !second && !text.includes("lineage")) return { version: first[2], lineage: undefined };
  const fields = tryReadComposition(text, place);
  return fields instanceof CodedError ? undefined : { version: fields.version, lineage: fields.lineage };
}

function changeOf(row: Record<string, unknown>): Change {
  return {
    commit: String(row.id),
    message: String(row.message),
    author: { name: String(row.author), email: String(row.email), time: String(row.time) },
    sequence: Number(row.sequence),
    ...(row.version !== null && { version: String(row.version) }),
    ...(row.blob === null && { removed: true as const }),
  };
}
