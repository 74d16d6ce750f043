/** The decisions of all patterns at HEAD in SQLite, one row each, and the filters over them. */
import { createHash } from "node:crypto";
import { CodedError } from "../../../daemon/errors.ts";
import type { Database, FileState, Repository, RepositoryFile, SqlValue } from "../../../daemon/module.ts";
import { type DecisionEntry, readEntries } from "../entries.ts";
import type { Damage } from "./damage.ts";
import { readPaced } from "./paced.ts";

const currentGrammar = /^orchestrations\/([^/]+)_decisions\.yaml$/;
/** The outcome of what was the last entry is appended to a file, too. */
const beginsWithEntry = /^(?:- |$)/;
const fullGrammar = /^orchestrations\/([^/]+)_decisions\/(\d{4,8})\.yaml$/;

export interface DecisionFilter {
  readonly outcome?: unknown;
  readonly run?: string;
  /** RFC 3339, inclusive. */
  readonly since?: string;
  readonly limit: number;
  /** As an earlier page gave it: the segment's number and the position in it, stable while decisions are added. */
  readonly cursor?: string;
}

export interface DecisionPage {
  readonly decisions: DecisionEntry[];
  readonly cursor?: string;
}

export interface DecisionPlace {
  readonly pattern: string;
  readonly entry: DecisionEntry;
}

interface Segment {
  readonly path: string;
  readonly pattern: string;
  readonly number: number;
}

export const cursorGrammar = /^\d{1,8}\.\d{1,6}$/;

export class DecisionRows {
  readonly #database: Database;
  readonly #repository: Repository;
  readonly #damage: Damage;

  constructor(database: Database, repository: Repository, damage: Damage) {
    this.#database = database;
    this.#repository = repository;
    this.#damage = damage;
  }

  /** Takes over what changed in the decisions files up to the commit. */
  async update(files: readonly FileState[], commit: string): Promise<void> {
    const full = files.flatMap(({ path }) => fullSegmentOf(path) ?? []);
    const grown = files.flatMap(({ path }) => currentGrammar.exec(path)?.[1] ?? []);
    // A segment that becomes full keeps its number, so the current file leaves it first.
    for (const { pattern } of full) this.#drop(currentPath(pattern));
    await this.#takeAll(full, commit);
    const patterns = [...new Set([...full.map((segment) => segment.pattern), ...grown])];
    const last = this.#database.prepare("SELECT max(number) AS last FROM segments WHERE pattern = ? AND path <> ?");
    const current = patterns.map((pattern) => {
      const path = currentPath(pattern);
      return { path, pattern, number: Number(last.get(pattern, path)?.last ?? 0) + 1 };
    });
    await this.#takeAll(current, commit);
  }

  /** Newest first. */
  find(pattern: string, { outcome, run, since, limit, cursor }: DecisionFilter): DecisionPage {
    const conditions = ["pattern = ?"];
    const values: SqlValue[] = [pattern];
    const add = (condition: string, ...given: SqlValue[]) => {
      conditions.push(condition);
      values.push(...given);
    };
    if (cursor !== undefined) add("(segment, position) < (?, ?)", ...(cursor.split(".").map(Number) as [number, number]));
    if (outcome !== undefined) add("outcome = ?", canonical(outcome));
    if (run !== undefined) add("+run = ?", run);
    if (since !== undefined) add("time >= ?", Date.parse(since));
    const rows = this.#database
      .prepare(
        `SELECT segment, position, entry FROM decisions WHERE ${conditions.join(" AND ")} ORDER BY segment DESC, position DESC LIMIT ?`,
      )
      .all(...values, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return {
      decisions: page.map(({ entry }) => JSON.parse(String(entry))),
      ...(rows.length > limit && last && { cursor: `${last.segment}.${last.position}` }),
    };
  }

  /** All entries with this id: more than one only after an edit by hand. */
  byId(id: string): DecisionPlace[] {
    const rows = this.#database.prepare("SELECT pattern, entry FROM decisions WHERE id = ?").all(id);
    return rows.map(({ pattern, entry }) => ({ pattern: String(pattern), entry: JSON.parse(String(entry)) }));
  }

  /** What keeps decisions files of the pattern from being read: they were broken by hand, or an object is damaged. */
  problems(pattern: string): string[] {
    const rows = this.#database.prepare("SELECT path, problem FROM segments WHERE pattern = ? AND problem IS NOT NULL").all(pattern);
    return rows.map(({ path, problem }) => `${path}: ${problem}`);
  }

  async #takeAll(segments: readonly Segment[], commit: string): Promise<void> {
    await readPaced(
      segments,
      ({ path }) => this.#damage.tryRead(() => this.#repository.read(path, commit)),
      (segment, file) => this.#database.transaction(() => this.#take(segment, file)),
    );
  }

  #take({ path, pattern, number }: Segment, file: RepositoryFile | CodedError | undefined): void {
    const write = this.#database.prepare("INSERT OR REPLACE INTO segments VALUES (?, ?, ?, ?, ?, ?)");
    if (file instanceof CodedError) {
      write.run(path, pattern, number, "", 0, file.message); // what was read of it before stays
      return;
    }
    const known = this.#database.prepare("SELECT * FROM segments WHERE path = ?").get(path);
    const content = Buffer.from(file?.content ?? "");
    // What whole entries were only appended to is not read again from its start.
    const before = content.subarray(0, Number(known?.bytes ?? 0));
    const isAppendedTo = known?.number === number && known.problem === null && blobId(before) === known.blob;
    const added = isAppendedTo ? content.subarray(before.length).toString() : "";
    const isKept = isAppendedTo && beginsWithEntry.test(added);
    const [entries, problem] = tryReadEntries(isKept ? added : content.toString());
    const first = isKept ? this.#count(pattern, number) : 0;
    if (!isKept) this.#drop(path);
    if (!file) return;
    write.run(path, pattern, number, file.blob, content.length, problem ?? null);
    const insert = this.#database.prepare("INSERT OR REPLACE INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (const [position, entry] of entries.entries()) {
      const { id, time, run = null, agent = null, outcome } = entry;
      const result = outcome === undefined ? null : canonical(outcome);
      insert.run(pattern, number, first + position, id, Date.parse(time) || 0, run, agent, result, JSON.stringify(entry));
    }
  }

  #drop(path: string): void {
    const known = this.#database.prepare("DELETE FROM segments WHERE path = ? RETURNING pattern, number").get(path);
    if (known)
      this.#database.prepare("DELETE FROM decisions WHERE pattern = ? AND segment = ?").run(String(known.pattern), Number(known.number));
  }

  #count(pattern: string, segment: number): number {
    return Number(
      this.#database.prepare("SELECT count(*) AS count FROM decisions WHERE pattern = ? AND segment = ?").get(pattern, segment)?.count,
    );
  }
}

const currentPath = (pattern: string): string => `orchestrations/${pattern}_decisions.yaml`;

function fullSegmentOf(path: string): Segment | undefined {
  const [, pattern, number] = fullGrammar.exec(path) ?? [];
  return pattern === undefined ? undefined : { path, pattern, number: Number(number) };
}

function tryReadEntries(text: string): [entries: DecisionEntry[], problem?: string] {
  try {
    return [readEntries(text)];
  } catch (error) {
    if (error instanceof CodedError) return [[], error.message];
    throw error;
  }
}

/** JSON that is the same for equal values. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, item) =>
    item && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([left], [right]) => (left < right ? -1 : 1)))
      : item,
  );

const blobId = (content: Uint8Array): string => createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
