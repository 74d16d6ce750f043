/**
 * git's index (versions 2 and 3), edited entry by entry: entries that are not touched keep their bytes. Pure.
 * isomorphic-git's own writes the whole file per path and records no file times, which leaves `git diff-files` dirty.
 */
import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";

const headerLength = 12;
const hashLength = 20;
const mtimeOffset = 8;
const sizeOffset = 36;
const nameOffset = 62;
const extendedFlag = 0x4000;

interface IndexEntry {
  readonly path: string;
  readonly stage: number;
  readonly blob: string;
  readonly bytes: Buffer;
}

export class IndexFile {
  #entries: IndexEntry[] = [];

  /** @throws Error if the bytes are no index of version 2 or 3 */
  static parse(bytes: Buffer | undefined): IndexFile {
    const index = new IndexFile();
    if (bytes) index.#entries = parseEntries(bytes);
    return index;
  }

  /** Blob staged for a path; null if none, "unmerged" during a conflict. */
  staged(path: string): string | null {
    const entries = this.#entries.filter((entry) => entry.path === path);
    if (entries.some(({ stage }) => stage > 0)) return "unmerged";
    return entries[0]?.blob ?? null;
  }

  /** Stages a blob for a path, or removes the path (null). @param stats of the file in the work tree, if it is surely the blob */
  stage(path: string, blob: string | null, stats?: BigIntStats): void {
    this.#entries = this.#entries.filter((entry) => entry.path !== path);
    if (blob === null) return;
    this.#entries.push({ path, stage: 0, blob, bytes: renderEntry(path, blob, stats) });
    this.#entries.sort((left, right) => Buffer.compare(Buffer.from(left.path), Buffer.from(right.path)) || left.stage - right.stage);
  }

  /** Paths and blobs of the files that were last modified at this time or later, as far as the index knows. @param time Unix, seconds */
  modifiedSince(time: number): { path: string; blob: string }[] {
    return this.#entries.filter(({ bytes }) => bytes.readUInt32BE(mtimeOffset) >= time);
  }

  /** Makes git compare the content of the file, whatever its times say: it does so where a size is 0. */
  distrust(path: string): void {
    this.#entries = this.#entries.map((entry) => {
      if (entry.path !== path) return entry;
      const bytes = Buffer.from(entry.bytes);
      bytes.writeUInt32BE(0, sizeOffset);
      return { ...entry, bytes };
    });
  }

  /** Extensions (caches of git) are left out; git makes them again. */
  render(): Buffer {
    const header = Buffer.alloc(headerLength);
    header.write("DIRC");
    header.writeUInt32BE(this.#entries.some(({ bytes }) => bytes.readUInt16BE(60) & extendedFlag) ? 3 : 2, 4);
    header.writeUInt32BE(this.#entries.length, 8);
    const body = Buffer.concat([header, ...this.#entries.map(({ bytes }) => bytes)]);
    return Buffer.concat([body, createHash("sha1").update(body).digest()]);
  }
}

function parseEntries(bytes: Buffer): IndexEntry[] {
  const version = bytes.length >= headerLength + hashLength && bytes.toString("latin1", 0, 4) === "DIRC" ? bytes.readUInt32BE(4) : 0;
  if (version === 4) throw new Error('the index has version 4; run "git update-index --index-version 2"');
  const body = bytes.subarray(0, -hashLength);
  if ((version !== 2 && version !== 3) || !createHash("sha1").update(body).digest().equals(bytes.subarray(-hashLength))) {
    throw new Error('the index is damaged; remove .git/index and run "git reset"');
  }
  const entries: IndexEntry[] = [];
  let offset = headerLength;
  for (let count = body.readUInt32BE(8); count > 0; count--) {
    const flags = body.readUInt16BE(offset + 60);
    const start = offset + nameOffset + (flags & extendedFlag ? 2 : 0);
    const end = body.indexOf(0, start);
    const length = paddedLength(end - offset);
    entries.push({
      path: body.toString("utf8", start, end),
      stage: (flags >> 12) & 3,
      blob: body.toString("hex", offset + 40, offset + 60),
      bytes: body.subarray(offset, offset + length),
    });
    offset += length;
  }
  return entries;
}

function renderEntry(path: string, blob: string, stats?: BigIntStats): Buffer {
  const name = Buffer.from(path);
  const bytes = Buffer.alloc(paddedLength(nameOffset + name.length));
  if (stats) {
    const times = [stats.ctimeNs, stats.mtimeNs].flatMap((time) => [time / 1_000_000_000n, time % 1_000_000_000n]);
    const fields = [...times, stats.dev, stats.ino, 0n, stats.uid, stats.gid, stats.size];
    fields.forEach((field, position) => {
      bytes.writeUInt32BE(Number(field & 0xffffffffn), position * 4);
    });
  }
  bytes.writeUInt32BE(0o100644, 24);
  bytes.write(blob, 40, "hex");
  bytes.writeUInt16BE(Math.min(name.length, 0xfff), 60);
  name.copy(bytes, nameOffset);
  return bytes;
}

/** Entries end with 1 to 8 NULs, at a multiple of 8. */
const paddedLength = (length: number): number => (length + 8) & ~7;
