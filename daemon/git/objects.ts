/** Reading git objects through isomorphic-git, and collecting new ones so that they reach the disk together. */
import * as fs from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import git, { type CommitObject, type TreeEntry } from "isomorphic-git";
import { CodedError } from "../errors.ts";
import type { DurableFiles } from "./durable-files.ts";

const cachedObjects = 500;

/** Objects never change, so what was parsed once is kept. */
export class ObjectReader {
  readonly gitdir: string;
  readonly #packs = {};
  readonly #trees = new Map<string, TreeEntry[]>();
  readonly #commits = new Map<string, CommitObject>();

  constructor(gitdir: string) {
    this.gitdir = gitdir;
  }

  commit(oid: string): Promise<CommitObject> {
    return this.#remember(this.#commits, oid, async () => (await git.readCommit({ ...this.#place, oid })).commit);
  }

  /** Entries of a tree; the tree of a commit if `oid` is one. */
  tree(oid: string): Promise<TreeEntry[]> {
    return this.#remember(this.#trees, oid, async () => (await git.readTree({ ...this.#place, oid })).tree);
  }

  blob(oid: string): Promise<Uint8Array> {
    return this.#guard(oid, async () => (await git.readBlob({ ...this.#place, oid })).blob);
  }

  /** Is the object there, as far as can be told without unpacking it? An empty file, as a power failure leaves it, is not. */
  async isPresent(oid: string): Promise<boolean> {
    const stats = await lstat(loosePath(this.gitdir, oid)).catch(() => undefined);
    if (stats) return stats.size > 0;
    return git.readObject({ ...this.#place, oid, format: "deflated" }).then(
      () => true,
      () => false,
    );
  }

  /** The entry at a path of one or more parts. */
  async entry(tree: string, path: string): Promise<TreeEntry | undefined> {
    const [first, ...rest] = path.split("/");
    const entry = (await this.tree(tree)).find((candidate) => candidate.path === first);
    if (!entry || rest.length === 0) return entry;
    return entry.type === "tree" ? this.entry(entry.oid, rest.join("/")) : undefined;
  }

  get #place() {
    return { fs, gitdir: this.gitdir, cache: this.#packs };
  }

  async #remember<Value>(known: Map<string, Value>, oid: string, read: () => Promise<Value>): Promise<Value> {
    const value = known.get(oid) ?? (await this.#guard(oid, read));
    known.delete(oid);
    known.set(oid, value);
    if (known.size > cachedObjects) known.delete(known.keys().next().value as string);
    return value;
  }

  async #guard<Value>(oid: string, read: () => Promise<Value>): Promise<Value> {
    try {
      return await read();
    } catch (cause) {
      const reason = `object ${oid} is missing or damaged; restore it from a clone (git fsck names all)`;
      throw new CodedError("REPOSITORY_UNAVAILABLE", `The repository cannot be read: ${reason}`, { reason, object: oid }, { cause });
    }
  }
}

/**
 * New objects, kept in memory until `flush`. isomorphic-git writes each object on its own; nothing refers to them before the
 * branch moves, so one round of fsyncs for all of them is as safe and several times faster.
 */
export class ObjectBatch {
  readonly #gitdir: string;
  readonly #files = new Map<string, Uint8Array>();

  constructor(gitdir: string) {
    this.#gitdir = gitdir;
  }

  blob(content: Uint8Array): Promise<string> {
    return git.writeBlob({ ...this.#place, blob: content });
  }

  tree(entries: TreeEntry[]): Promise<string> {
    return git.writeTree({ ...this.#place, tree: entries });
  }

  commit(commit: CommitObject): Promise<string> {
    return git.writeCommit({ ...this.#place, commit });
  }

  async flush(files: DurableFiles): Promise<void> {
    await files.writeAll(this.#files);
  }

  get #place() {
    return { fs: { promises: this.#fileSystem }, gitdir: this.#gitdir };
  }

  /** A file system in which every object looks absent, and is collected when written. */
  readonly #fileSystem = {
    readFile: async (path: string) => absent(path),
    readdir: async () => [],
    stat: async (path: string) => absent(path),
    lstat: async (path: string) => absent(path),
    mkdir: async () => undefined,
    rmdir: async () => undefined,
    unlink: async () => undefined,
    readlink: async (path: string) => absent(path),
    symlink: async () => undefined,
    writeFile: async (path: string, content: Uint8Array) => {
      this.#files.set(path, content);
    },
  };
}

function absent(path: string): never {
  throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
}

export const loosePath = (gitdir: string, oid: string): string => join(gitdir, "objects", oid.slice(0, 2), oid.slice(2));
