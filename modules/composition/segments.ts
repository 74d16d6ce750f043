/**
 * The decisions of one pattern as files: the newest at most 200 in `orchestrations/<pattern>_decisions.yaml`, full segments in
 * `orchestrations/<pattern>_decisions/NNNN.yaml`. So a commit stays small however long the history is.
 */
import { dirname } from "node:path/posix";
import type { Repository } from "../../daemon/module.ts";
import { type DecisionEntry, isPending, readEntries, renderEntry, withOutcome } from "./entries.ts";

const segmentEntries = 200;
/** Below the limit of what is read back as YAML. */
const segmentBytes = 200 * 1024;
const rememberedSegments = 64;

/** What an append changes; `expected` as in a commit request. */
export interface SegmentChange {
  readonly files: Record<string, string>;
  readonly expected: Record<string, string | null>;
}

export interface Segment {
  readonly number: number;
  readonly path: string;
}

export class DecisionSegments {
  readonly #repository: Repository;
  /** Pattern → the current file as this process wrote it, which need not be read again, and its number of entries. */
  readonly #counts = new Map<string, { text: string; count: number }>();
  readonly #entries = new Map<string, DecisionEntry[]>();

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  /**
   * The files after appending entries and giving outcomes, on the state of HEAD. An outcome for what is no pending decision of
   * the pattern is left out.
   * @throws CodedError COMPOSITION_INVALID if a file was broken by hand
   */
  async change(pattern: string, added: readonly DecisionEntry[], outcomes: ReadonlyMap<string, unknown>): Promise<SegmentChange> {
    const resolved = await this.#resolve(pattern, outcomes);
    if (added.length === 0) return resolved;
    const appended = await this.#append(pattern, added, resolved.files[currentPath(pattern)]);
    return { files: { ...resolved.files, ...appended.files }, expected: { ...resolved.expected, ...appended.expected } };
  }

  /** The decision, if it is in git. */
  async find(pattern: string, id: string): Promise<DecisionEntry | undefined> {
    for (const segment of await this.list(pattern)) {
      const found = (await this.read(segment)).find((entry) => entry.id === id);
      if (found) return found;
    }
    return undefined;
  }

  async #resolve(pattern: string, outcomes: ReadonlyMap<string, unknown>): Promise<SegmentChange> {
    const files: Record<string, string> = {};
    const expected: Record<string, string | null> = {};
    const open = new Map(outcomes);
    for (const segment of open.size > 0 ? await this.list(pattern) : []) {
      const pending = (await this.read(segment)).filter((entry) => open.has(entry.id) && isPending(entry));
      const file = pending.length > 0 && (await this.#repository.read(segment.path));
      if (!file) continue;
      files[segment.path] = pending.reduce((text, { id }) => withOutcome(text, id, open.get(id)), file.content);
      expected[segment.path] = file.blob;
      for (const { id } of pending) open.delete(id);
      if (open.size === 0) break;
    }
    return { files, expected };
  }

  /** @param changed the text of the current file, where it is not that of HEAD */
  async #append(pattern: string, entries: readonly DecisionEntry[], changed: string | undefined): Promise<SegmentChange> {
    const path = currentPath(pattern);
    const file = await this.#repository.read(path);
    let text = changed ?? file?.content ?? "";
    let bytes = Buffer.byteLength(text);
    let count = this.#countEntries(pattern, text);
    // A hand-made style that a block entry cannot follow, such as `[…]`, is kept as a segment of its own.
    let isFull = count > 0 && !/^- .*\n$/s.test(text.replace(/^(?:\s*(?:#.*)?\n)+/, ""));
    let number = await this.#nextNumber(pattern);
    const files: Record<string, string> = {};
    const expected: Record<string, string | null> = { [path]: file?.blob ?? null };
    for (const entry of entries) {
      const addition = renderEntry(entry);
      if (isFull || count >= segmentEntries || (count > 0 && bytes + Buffer.byteLength(addition) > segmentBytes)) {
        const full = segmentPath(pattern, number++);
        files[full] = text;
        expected[full] = null;
        [text, count, bytes, isFull] = ["", 0, 0, false];
      }
      text = count === 0 ? addition : text + addition;
      bytes = Buffer.byteLength(addition) + (count === 0 ? 0 : bytes);
      count++;
    }
    files[path] = text;
    this.#counts.set(pattern, { text, count });
    return { files, expected };
  }

  /** All segments, newest first; the current file has the number that it will have when it is full. */
  async list(pattern: string): Promise<Segment[]> {
    const paths = await this.#repository.list(segmentFolder(pattern));
    const numbers = paths.map((path) => Number(/\/(\d{4,8})\.yaml$/.exec(path)?.[1] ?? 0)).filter((number) => number > 0);
    numbers.sort((left, right) => right - left);
    const current = { number: (numbers[0] ?? 0) + 1, path: currentPath(pattern) };
    return [current, ...numbers.map((number) => ({ number, path: segmentPath(pattern, number) }))];
  }

  /** The entries of a segment, oldest first. */
  async read({ path }: Segment): Promise<readonly DecisionEntry[]> {
    const file = await this.#repository.read(path);
    if (!file) return [];
    const entries = this.#entries.get(file.blob) ?? readEntries(file.content);
    this.#entries.delete(file.blob);
    this.#entries.set(file.blob, entries);
    if (this.#entries.size > rememberedSegments) this.#entries.delete(this.#entries.keys().next().value as string);
    return entries;
  }

  /** Did the commit change the pattern's decisions? */
  async isChangedBy(commit: string, pattern: string): Promise<boolean> {
    for await (const { files } of this.#repository.changes(commit))
      return files.some(({ path }) => path === currentPath(pattern) || dirname(path) === segmentFolder(pattern));
    return false;
  }

  async ids(pattern: string): Promise<Set<string>> {
    const ids = new Set<string>();
    for (const segment of await this.list(pattern)) {
      for (const { id } of await this.read(segment)) ids.add(id);
    }
    return ids;
  }

  #countEntries(pattern: string, text: string): number {
    const known = this.#counts.get(pattern);
    return known?.text === text ? known.count : readEntries(text).length;
  }

  async #nextNumber(pattern: string): Promise<number> {
    return (await this.list(pattern))[0]?.number ?? 1;
  }
}

const currentPath = (pattern: string): string => `orchestrations/${pattern}_decisions.yaml`;
const segmentFolder = (pattern: string): string => `orchestrations/${pattern}_decisions`;
const segmentPath = (pattern: string, number: number): string => `${segmentFolder(pattern)}/${String(number).padStart(4, "0")}.yaml`;
