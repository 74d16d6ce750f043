/** Where the parts of a YAML text lie, so that one can be exchanged and all others keep their bytes. Pure. */
import { isMap, isScalar, isSeq, type Pair, type Scalar, type YAMLMap, type YAMLSeq } from "yaml";

export type Collection = YAMLMap<Scalar, unknown> | YAMLSeq;

/** A part of a block collection: an entry of a map or of a sequence, with the lines of its own. */
export interface Chunk {
  /** The key of a map's entry; of a sequence's, its position. */
  readonly key: string;
  /** Comments and blank lines before it. */
  readonly lead: string;
  /** From the start of its first line to the end of its last. */
  readonly body: string;
  readonly value: unknown;
}

/** A block collection cut into lines: `head + chunks + tail` is its whole text. */
export interface Block {
  readonly kind: "map" | "seq";
  readonly indent: number;
  readonly head: string;
  readonly chunks: readonly Chunk[];
  readonly tail: string;
}

export const isCollection = (node: unknown): node is Collection => isMap(node) || isSeq(node);
export const isBlock = (node: unknown): node is Collection => isCollection(node) && !node.flow;
export const isBlockScalar = (node: unknown): node is Scalar =>
  isScalar(node) && (node.type === "BLOCK_LITERAL" || node.type === "BLOCK_FOLDED");

export const lineStart = (text: string, offset: number): number => text.lastIndexOf("\n", offset - 1) + 1;

/** The end of the line, before its newline. */
export function lineEnd(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  return end < 0 ? text.length : end;
}

/** Where an entry begins: its key, or its dash. Undefined for `? key`. */
export function entryStart(text: string, collection: Collection, position: number): number | undefined {
  if (isMap(collection)) {
    const { key } = collection.items[position] as Pair<Scalar, unknown>;
    const start = key.range?.[0];
    if (start === undefined || colonAfter(text, key) === undefined) return undefined;
    return /(?:^|[\s-])\?\s*$/.test(text.slice(lineStart(text, start), start)) ? undefined : start;
  }
  const node = collection.items[position] as Scalar;
  const start = node.range?.[0];
  const dash = start === undefined ? -1 : text.lastIndexOf("-", isEmptyNode(node) ? start : start - 1);
  return dash < 0 || /\S/.test(text.slice(dash + 1, start).replaceAll(/(?<=\s)#.*$/gm, "")) ? undefined : dash;
}

/** Behind what introduces an entry's value: the colon, or the dash. */
export function valueStart(text: string, collection: Collection, position: number): number | undefined {
  if (isMap(collection)) return colonAfter(text, (collection.items[position] as Pair<Scalar, unknown>).key);
  const dash = entryStart(text, collection, position);
  return dash === undefined ? undefined : dash + 1;
}

function colonAfter(text: string, key: Scalar): number | undefined {
  const end = key.range?.[1];
  const length = end === undefined ? undefined : /^[ \t]*:/.exec(text.slice(end, end + 1_000))?.[0].length;
  return end === undefined || length === undefined ? undefined : end + length;
}

export const nodeAt = (collection: Collection, position: number): unknown =>
  isMap(collection) ? (collection.items[position] as Pair<Scalar, unknown>).value : collection.items[position];

const isEmptyNode = (node: unknown): boolean => isScalar(node) && node.range?.[0] === node.range?.[1];

/** Where an entry's value ends, without the comment or the newline behind it. */
export function entryEnd(text: string, collection: Collection, position: number): number {
  const value = nodeAt(collection, position);
  const start = valueStart(text, collection, position) ?? 0;
  if (isEmptyNode(value) || value === null) return start;
  return contentEnd(text, value);
}

function contentEnd(text: string, node: unknown): number {
  if (isBlock(node) && node.items.length > 0) return entryEnd(text, node, node.items.length - 1);
  const [start, end] = (node as Scalar).range as [number, number, number];
  if (!isBlockScalar(node)) return end;
  const source = text.slice(start, end);
  const isKept = /^[|>]\d?\+/.test(source);
  return start + (isKept ? source.replace(/\r?\n$/, "") : source.replace(/(?:\r?\n[ \t]*)+$/, "")).length;
}

/**
 * Cuts the text `[from, to)` around a block collection.
 * @returns undefined where its entries do not each begin a line, as in `- - a`
 */
export function cutBlock(text: string, node: unknown, from: number, to: number): Block | undefined {
  if (!isBlock(node) || node.items.length === 0) return undefined;
  const starts = node.items.map((_, position) => entryStart(text, node, position));
  const first = starts[0];
  if (first === undefined) return undefined;
  const indent = first - lineStart(text, first);
  const chunks: Chunk[] = [];
  let end = lineStart(text, first);
  const head = text.slice(from, end);
  if (end < from) return undefined;
  for (const [position, start] of starts.entries()) {
    if (start === undefined || /\S/.test(text.slice(lineStart(text, start), start))) return undefined;
    const begin = lineStart(text, start);
    const lead = text.slice(end, begin);
    end = Math.min(to, endOfChunk(text, entryEnd(text, node, position), indent));
    const key = isMap(node) ? String((node.items[position] as Pair<Scalar, unknown>).key.value) : String(position);
    chunks.push({ key, lead, body: text.slice(begin, end), value: nodeAt(node, position) });
  }
  return { kind: isMap(node) ? "map" : "seq", indent, head, chunks, tail: text.slice(end, to) };
}

/** Comments that are indented deeper than the next entry belong to this one. */
function endOfChunk(text: string, contentEndsAt: number, indent: number): number {
  let end = Math.min(text.length, lineEnd(text, contentEndsAt) + 1);
  for (let at = end; at < text.length; ) {
    const next = Math.min(text.length, lineEnd(text, at) + 1);
    const line = text.slice(at, next);
    if (/\S/.test(line)) {
      if (!/^\s*#/.test(line) || line.search(/\S/) <= indent) break;
      end = next;
    }
    at = next;
  }
  return end;
}
