/**
 * Publishing a commit: branch, work tree and index change together under git's own `index.lock`.
 *
 * The lock file's content is our intent, so a crash leaves a note of what was under way, and keeps `git commit` from
 * building on a stale index until `finish` has completed it. Git does not wait for the lock, so between two commits of ours it is
 * free for a moment: however busy the repository is, who commits by hand succeeds after a few tries.
 *
 * Git reads the index before it locks it. What we published in between is lost from the index when git writes it: for a moment after
 * each commit `settle` looks for that, and stages it again. By the index alone it looks the same as when somebody stages the former
 * text in that moment; then it stays in the work tree. A daemon that is killed in that moment looks no more.
 */
import { createHash } from "node:crypto";
import { existsSync, lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CodedError } from "../errors.ts";
import { createPatiently, type Head, moveBranch, readHead, unavailable } from "./branch.ts";
import type { DurableFiles } from "./durable-files.ts";
import { IndexFile } from "./index-file.ts";
import type { ObjectReader } from "./objects.ts";

/** What one commit does to a file: blob ids before and after, null = no file. */
export interface FileChange {
  readonly path: string;
  readonly from: string | null;
  readonly to: string | null;
}

/** Git needs a moment only, however long a slow disk made us hold the lock. Milliseconds. */
const longestRespite = 10;
/** Milliseconds after which git has written what it had read before a commit of ours, unless it has the lock. */
const settledAfter = 250;

type FileContents = Readonly<Record<string, string | null>>;

interface Intent {
  readonly program: "reprise";
  readonly ref: string;
  readonly commit: string;
  readonly changes: readonly FileChange[];
}

export class WorkTree {
  readonly #folder: string;
  readonly #gitdir: string;
  readonly #files: DurableFiles;
  readonly #objects: ObjectReader;
  /** What was published lately: by path, the blob, those that it came after, and when, as of `performance.now()`. */
  readonly #unsettled = new Map<string, { readonly blob: string | null; readonly before: Set<string | null>; readonly at: number }>();
  /** The index file as we wrote it last. */
  #ownIndex: string | undefined;
  /** Until when the lock is left to others, as of `performance.now()`. */
  #leftUntil = 0;

  constructor(folder: string, files: DurableFiles, objects: ObjectReader) {
    this.#folder = folder;
    this.#gitdir = objects.gitdir;
    this.#files = files;
    this.#objects = objects;
  }

  /**
   * Moves the branch to the commit and brings index and work tree after it.
   * @param contents the text of each changed file
   * @returns false, having changed nothing, if the branch is no longer where `head` says
   * @throws CodedError REPOSITORY_CONFLICT for a file with an uncommitted edit, REPOSITORY_UNAVAILABLE
   */
  async publish(head: Head, commit: string, changes: readonly FileChange[], contents: FileContents): Promise<boolean> {
    const intent: Intent = {
      program: "reprise",
      ref: head.ref,
      commit,
      changes: changes.map(({ path, from, to }) => ({ path, from, to })),
    };
    const respite = this.#leftUntil - performance.now();
    if (respite > 0) await delay(respite);
    if (!(await createPatiently(this.#files, this.#lock, JSON.stringify(intent)))) {
      throw unavailable(".git/index.lock is held by another git process; remove the file if none runs");
    }
    const taken = performance.now();
    let moved = false;
    try {
      if (head.commit !== undefined) await this.#stageLost(head.commit);
      const index = this.#readIndex();
      for (const change of changes) this.#assertUntouched(change, index);
      moved = await moveBranch(this.#files, this.#gitdir, head, commit);
    } finally {
      if (!moved) rmSync(this.#lock, { force: true });
    }
    // From here the commit is made. What fails now is completed by `finish`, before the next write or at the next start.
    if (moved) {
      for (const change of intent.changes) this.#watch(change);
      await this.#complete(intent.changes, contents).catch(() => undefined);
    }
    const now = performance.now();
    this.#leftUntil = now + Math.min(now - taken, longestRespite);
    return moved;
  }

  /**
   * Stages again what git has lost from the index, and completes what could not be. Not while something is being published.
   * @returns whether nothing can be lost any more
   */
  async settle(): Promise<boolean> {
    await this.finish();
    const since = performance.now();
    const { ref, commit } = readHead(this.#gitdir);
    if (commit !== undefined && (await this.#lostSince(commit)).length > 0) {
      // After a crash there is nothing to complete: the work tree is as it should be.
      const intent: Intent = { program: "reprise", ref, commit, changes: [] };
      if (!(await this.#files.create(this.#lock, JSON.stringify(intent)))) return false;
      try {
        await this.#stageLost(commit);
      } finally {
        rmSync(this.#lock, { force: true });
      }
    }
    if (existsSync(this.#lock)) return false; // whoever has it may write what it read before
    for (const [path, { at }] of this.#unsettled) if (since - at > settledAfter) this.#unsettled.delete(path);
    return this.#unsettled.size === 0;
  }

  #watch({ path, from, to }: FileChange): void {
    const before = this.#unsettled.get(path)?.before ?? new Set();
    this.#unsettled.set(path, { blob: to, before: before.add(from), at: performance.now() });
  }

  /** Under the lock. */
  async #stageLost(commit: string): Promise<void> {
    const lost = await this.#lostSince(commit);
    if (lost.length > 0) await this.#stage(lost);
  }

  /**
   * What is in the commit and in the work tree as we published it, and in the index as it was before. Where the work tree has something else,
   * somebody is at work: `git revert` writes file and index, and then moves the branch.
   */
  async #lostSince(commit: string): Promise<FileChange[]> {
    if (this.#unsettled.size === 0 || this.#indexVersion() === this.#ownIndex) return [];
    const index = this.#readIndex();
    const lost: FileChange[] = [];
    for (const [path, { blob: to, before }] of this.#unsettled) {
      const from = index.staged(path);
      if (from === to || !before.has(from) || this.#blobOf(path) !== to) continue;
      if (((await this.#objects.entry(commit, path))?.oid ?? null) === to) lost.push({ path, from, to });
    }
    return lost;
  }

  /** Completes what a crash or a full disk left half done; leaves a lock alone that is not ours. */
  async finish(): Promise<void> {
    const intent = this.#readIntent();
    if (!intent) return;
    const branchLock = join(this.#gitdir, `${intent.ref}.lock`);
    if (readOrEmpty(branchLock).trim() === intent.commit) rmSync(branchLock, { force: true });

    const { commit } = readHead(this.#gitdir);
    const index = this.#readIndex();
    const pending: FileChange[] = [];
    const contents: Record<string, string | null> = {};
    for (const change of intent.changes) {
      const entry = commit && (await this.#objects.entry(commit, change.path));
      const committed = (entry ? entry.oid : null) === change.to;
      const untouched =
        [change.from, change.to].includes(this.#blobOf(change.path)) && [change.from, change.to].includes(index.staged(change.path));
      if (!committed || !untouched) continue;
      pending.push(change);
      contents[change.path] = change.to && new TextDecoder().decode(await this.#objects.blob(change.to));
    }
    await this.#complete(pending, contents);
  }

  async #complete(changes: readonly FileChange[], contents: FileContents): Promise<void> {
    const written = new Map<string, Buffer>();
    for (const { path } of changes) {
      const content = contents[path];
      if (typeof content === "string") written.set(join(this.#folder, path), Buffer.from(content));
      else rmSync(join(this.#folder, path), { force: true });
    }
    await this.#files.replaceAll(written);
    await this.#stage(changes);
    rmSync(this.#lock, { force: true });
  }

  /** Brings the index after the work tree, under its lock. */
  async #stage(changes: readonly FileChange[]): Promise<void> {
    const index = this.#readIndex();
    this.#distrustEdited(index);
    for (const { path, to } of changes) {
      const stats = to === null ? undefined : lstatSync(join(this.#folder, path), { bigint: true });
      // Without file times git compares the content itself: right also when somebody edits the file at this very moment.
      index.stage(path, to, this.#blobOf(path) === to ? stats : undefined);
    }
    await this.#files.replaceAll(new Map([[join(this.#gitdir, "index"), index.render()]]));
    this.#ownIndex = this.#indexVersion();
  }

  /** Another one after every write of the index; undefined if there is none. */
  #indexVersion(): string | undefined {
    const stats = orAbsent(() => lstatSync(join(this.#gitdir, "index"), { bigint: true }));
    return stats && `${stats.ino} ${stats.mtimeNs} ${stats.size}`;
  }

  /**
   * Git takes a file for unchanged by its size and times, in seconds, unless it is as new as the index. A file that was edited
   * in the second in which it was committed must not pass for unchanged once the index is newer.
   */
  #distrustEdited(index: IndexFile): void {
    const before = orAbsent(() => lstatSync(join(this.#gitdir, "index")));
    if (!before) return;
    for (const { path, blob } of index.modifiedSince(Math.floor(before.mtimeMs / 1000)))
      if (this.#blobOf(path) !== blob) index.distrust(path);
  }

  #assertUntouched({ path, from, to }: FileChange, index: IndexFile): void {
    const blob = this.#blobOf(path);
    const staged = index.staged(path);
    const isOf = (state: string | null) => state === from || state === to;
    if (isOf(blob) && isOf(staged)) return;
    throw new CodedError("REPOSITORY_CONFLICT", `${path} has an uncommitted edit; commit or discard it`, { file: path });
  }

  /** Blob id of a file as it stands in the work tree; "special" for what is no ordinary file in an ordinary folder. */
  #blobOf(path: string): string | null {
    const parts = path.split("/");
    for (let depth = 1; depth <= parts.length; depth++) {
      const stats = orAbsent(() => lstatSync(join(this.#folder, ...parts.slice(0, depth))));
      if (!stats) return null;
      if (depth < parts.length ? !stats.isDirectory() : !stats.isFile()) return "special";
    }
    return blobId(readFileSync(join(this.#folder, path)));
  }

  #readIndex(): IndexFile {
    try {
      return IndexFile.parse(orAbsent(() => readFileSync(join(this.#gitdir, "index"))));
    } catch (cause) {
      throw unavailable((cause as Error).message, cause);
    }
  }

  #readIntent(): Intent | undefined {
    const text = readOrEmpty(this.#lock);
    return text.startsWith('{"program":"reprise"') ? (JSON.parse(text) as Intent) : undefined;
  }

  get #lock(): string {
    return join(this.#gitdir, "index.lock");
  }
}

const blobId = (content: Uint8Array): string => createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");

function orAbsent<Found>(look: () => Found): Found | undefined {
  try {
    return look();
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
