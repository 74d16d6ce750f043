/** Reading git objects through isomorphic-git, and collecting new ones so that they reach the disk together. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { deflate } from "node:zlib";
import git, { type CommitObject, type TreeEntry } from "isomorphic-git";
import { CodedError } from "../errors.ts";
import type { DurableFiles } from "./durable-files.ts";

const cachedObjects = 500;
/** Patterns are small and many; together with the bytes a limit of 32 MB. */
const cachedBlobs = 2_000;
const cachedBlobBytes = 16 * 1024;

/** Objects never change, so what was parsed once is kept. */
export class ObjectReader {
  readonly gitdir: string;
  #packs = {};
  readonly #trees = new Map<string, TreeEntry[]>();
  readonly #commits = new Map<string, CommitObject>();
  readonly #blobs = new Map<string, Uint8Array>();

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

  async blob(oid: string): Promise<Uint8Array> {
    const known = this.#blobs.get(oid);
    if (known) return known;
    const { blob } = await this.#guard(oid, () => git.readBlob({ ...this.#place, oid }));
    if (blob.length <= cachedBlobBytes) this.#keep(this.#blobs, oid, blob, cachedBlobs);
    return blob;
  }

  /** Keeps what was just written, so that the next commit need not read it. */
  rememberCommit(oid: string, commit: CommitObject): void {
    this.#keep(this.#commits, oid, commit);
  }

  rememberTree(oid: string, tree: TreeEntry[]): void {
    this.#keep(this.#trees, oid, tree);
  }

  /** Is the object there, as far as can be told without unpacking it? An empty file, as a power failure leaves it, is not. */
  async isPresent(oid: string): Promise<boolean> {
    if (this.#commits.has(oid)) return true;
    const stats = await lstat(loosePath(this.gitdir, oid)).catch(() => undefined);
    if (stats) return stats.size > 0;
    return git.readObject({ ...this.#place, oid, format: "deflated" }).then(
      () => true,
      () => false,
    );
  }

  /** Is it there with the content that its id says? It is read anew. */
  async isWhole(oid: string): Promise<boolean> {
    const read = () => git.readObject({ ...this.#place, oid, format: "content" });
    const { type, object } = (await this.#guard(oid, read).catch(() => undefined)) ?? {};
    if (!(object instanceof Uint8Array)) return false;
    return createHash("sha1").update(`${type} ${object.length}\0`).update(object).digest("hex") === oid;
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
    this.#keep(known, oid, value);
    return value;
  }

  #keep<Value>(known: Map<string, Value>, oid: string, value: Value, most = cachedObjects): void {
    known.delete(oid);
    known.set(oid, value);
    if (known.size > most) known.delete(known.keys().next().value as string);
  }

  async #guard<Value>(oid: string, read: () => Promise<Value>): Promise<Value> {
    try {
      return await read().catch(() => {
        this.#packs = {}; // packs may have been made one since they were looked at
        return read();
      });
    } catch (cause) {
      const reason = `object ${oid} is missing or damaged; restore it from a clone (git fsck names all)`;
      throw new CodedError("REPOSITORY_UNAVAILABLE", `The repository cannot be read: ${reason}`, { reason, object: oid }, { cause });
    }
  }
}

/**
 * New objects, kept in memory until `flush`. Nothing refers to them before the branch moves, so one round of fsyncs for all
 * is as safe as one for each, and they are encoded here because isomorphic-git would write each one at once.
 */
export class ObjectBatch {
  readonly #objects = new Map<string, Buffer>();

  blob(content: Uint8Array): string {
    return this.#add("blob", content);
  }

  tree(entries: readonly TreeEntry[]): string {
    const sortKey = ({ path, type }: TreeEntry) => Buffer.from(type === "tree" ? `${path}/` : path);
    const sorted = entries.toSorted((left, right) => Buffer.compare(sortKey(left), sortKey(right)));
    const parts = sorted.flatMap(({ mode, path, oid }) => [Buffer.from(`${mode.replace(/^0/, "")} ${path}\0`), Buffer.from(oid, "hex")]);
    return this.#add("tree", Buffer.concat(parts));
  }

  commit({ tree, parent, author, committer, message }: CommitObject): string {
    const person = ({ name, email, timestamp }: CommitObject["author"]) => `${name} <${email}> ${timestamp} +0000`;
    const lines = [`tree ${tree}`, ...parent.map((oid) => `parent ${oid}`), `author ${person(author)}`, `committer ${person(committer)}`];
    return this.#add("commit", Buffer.from(`${lines.join("\n")}\n\n${message}`));
  }

  async flush(files: DurableFiles, gitdir: string): Promise<void> {
    const encoded = [...this.#objects].map(async ([oid, object]) => [loosePath(gitdir, oid), await deflateAsync(object)] as const);
    await files.writeAll(new Map(await Promise.all(encoded)));
  }

  #add(type: string, content: Uint8Array): string {
    const object = Buffer.concat([Buffer.from(`${type} ${content.length}\0`), content]);
    const oid = createHash("sha1").update(object).digest("hex");
    this.#objects.set(oid, object);
    return oid;
  }
}

const deflateAsync = promisify(deflate);

const loosePath = (gitdir: string, oid: string): string => join(gitdir, "objects", oid.slice(0, 2), oid.slice(2));
