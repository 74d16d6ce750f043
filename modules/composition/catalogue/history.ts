/** Commits in SQLite: which commit changed which composition to which version, and which recorded which decision. */
import { CodedError } from "../../../daemon/errors.ts";
import type { CommitChange, CommitInfo, Database, Repository, SqlStatement } from "../../../daemon/module.ts";
import { readMessage } from "../commit-message.ts";
import { tryReadComposition } from "../content.ts";
import { type CompositionPlace, placeOf } from "../store.ts";
import type { Damage } from "./damage.ts";
import { paced, readPaced } from "./paced.ts";
import { progressOf, setProgress } from "./tables.ts";

/** A commit that changed a composition. */
export interface Change extends CommitInfo {
  /** The version that the text has since; undefined for an invalid text and a removed file. */
  readonly version?: string;
  readonly removed?: true;
  /** Place among all commits; later ones are higher. */
  readonly sequence: number;
}

export class History {
  readonly #database: Database;
  readonly #repository: Repository;
  readonly #damage: Damage;
  readonly #insert: { readonly commit: SqlStatement; readonly change: SqlStatement; readonly record: SqlStatement };

  constructor(database: Database, repository: Repository, damage: Damage) {
    this.#database = database;
    this.#insert = {
      commit: database.prepare("INSERT INTO commits (id, time, author, email, message) VALUES (?, ?, ?, ?, ?) RETURNING sequence"),
      change: database.prepare("INSERT INTO changes VALUES (?, ?, ?, ?)"),
      record: database.prepare("INSERT OR IGNORE INTO records VALUES (?, ?)"),
    };
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
    const versions = await this.#readVersions(changes);
    await paced(changes.reverse(), (change) => this.#database.transaction(() => this.#add(change, versions)));
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

  /** The newest commit after which a file had the version, among these paths. */
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

  #add({ info, files }: CommitChange, versions: ReadonlyMap<string, string | undefined>): void {
    const { commit, message, author } = info;
    const row = this.#insert.commit.get(commit, author.time, author.name, author.email, message);
    const sequence = Number(row?.sequence);
    for (const { path, blob } of files) {
      if (placeOf(path)) this.#insert.change.run(path, sequence, blob, versions.get(`${path} ${blob}`) ?? null);
    }
    for (const { id } of readMessage(info)?.decisions ?? []) this.#insert.record.run(id, sequence);
  }

  /** Path and blob → version. */
  async #readVersions(changes: readonly CommitChange[]): Promise<Map<string, string | undefined>> {
    const versions = new Map<string, string | undefined>();
    const texts = new Map<string, { blob: string; place: CompositionPlace }>();
    for (const { path, blob } of changes.flatMap((change) => change.files)) {
      const place = placeOf(path);
      if (blob && place) texts.set(`${path} ${blob}`, { blob, place });
    }
    await readPaced(
      [...texts],
      ([, { blob }]) => this.#damage.tryRead(() => this.#repository.readBlob(blob)),
      ([key, { place }], text) => versions.set(key, text instanceof CodedError ? undefined : versionIn(text, place)),
    );
    return versions;
  }
}

const plainVersion = /^version:[ \t]*(["']?)(\d[^\s"'#]*)\1[ \t]*(?:#.*)?\r?$/gm;

/** The version, without reading the whole text as YAML where a line at the margin tells it. */
function versionIn(text: string, place: CompositionPlace): string | undefined {
  const [first, second] = text.matchAll(plainVersion);
  if (first && !second) return first[2];
  const fields = tryReadComposition(text, place);
  return fields instanceof CodedError ? undefined : fields.version;
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
