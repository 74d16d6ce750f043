/** Changing fields of a YAML text: what is not changed keeps its bytes, with its comments, order and styles. Pure. */
import { isDeepStrictEqual } from "node:util";
import { isMap, isSeq, type Pair, type Scalar } from "yaml";
import { readYaml } from "../../daemon/yaml.ts";
import { type FieldPath, formatPath, isObject, valueAt, withValue } from "./field-path.ts";
import {
  type Collection,
  entryEnd,
  entryStart,
  isBlock,
  isBlockScalar,
  isCollection,
  lineEnd,
  lineStart,
  nodeAt,
  valueStart,
} from "./yaml-layout.ts";
import { readYamlOnce } from "./yaml-memory.ts";
import { renderEntry, renderInFlow, renderLike, shift } from "./yaml-render.ts";

/** With more of them than this, fields at the top are written anew as a whole. */
const mostEdits = 100;

export interface FieldEdit {
  readonly path: FieldPath;
  /** Plain JSON; undefined removes the field. */
  readonly value: unknown;
}

/**
 * Makes the edits one after the other.
 * @throws CodedError REQUEST_INVALID for a path that leads nowhere, COMPOSITION_INVALID for a text that is no YAML
 */
export function editYaml(text: string, edits: readonly FieldEdit[]): string {
  return editTogether(text, edits) ?? edits.reduce(editOnce, text);
}

function editOnce(text: string, { path, value }: FieldEdit): string {
  const { document, data } = readYamlOnce(text);
  const expected = withValue(data, path, value);
  if (isDeepStrictEqual(data, expected)) return text;
  const edited = editRange(text, document.contents, path, value);
  return edited !== undefined && says(edited, expected) ? edited : rewrite(text, path, value);
}

/** Edits of which none is within another's field do not depend on each other, so the text is read once for all. */
function editTogether(text: string, edits: readonly FieldEdit[]): string | undefined {
  const paths = new Set(edits.map(({ path }) => formatPath(path)));
  const isNested = ({ path }: FieldEdit) => path.some((_, length) => paths.has(formatPath(path.slice(0, length))));
  if (edits.length < 2 || paths.size < edits.length || edits.some(isNested)) return undefined;
  const { document, data } = readYamlOnce(text);
  const expected = edits.reduce((before, { path, value }) => withValue(before, path, value), data);
  const splices: Splice[] = [];
  for (const { path, value } of edits) {
    if (isDeepStrictEqual(valueAt(data, path), value)) continue;
    const edited = editRange(text, document.contents, path, value);
    if (edited === undefined) return undefined;
    splices.push(spliceOf(text, edited));
  }
  splices.sort((one, other) => other.from - one.from);
  if (splices.some(({ from }, position) => from <= (splices[position + 1]?.to ?? -1))) return undefined;
  const result = splices.reduce((edited, { from, to, put }) => edited.slice(0, from) + put + edited.slice(to), text);
  return says(result, expected) ? result : undefined;
}

interface Splice {
  readonly from: number;
  readonly to: number;
  readonly put: string;
}

function spliceOf(before: string, after: string): Splice {
  const most = Math.min(before.length, after.length);
  let from = 0;
  while (from < most && before[from] === after[from]) from++;
  let end = 0;
  while (end < most - from && before.at(-1 - end) === after.at(-1 - end)) end++;
  return { from, to: before.length - end, put: after.slice(from, after.length - end) };
}

/** The text with the fewest edits after which it says `data`. */
export function reconcile(text: string, data: unknown): string {
  const before = readYamlOnce(text).data;
  const edits = [...differences(before, data, [])];
  if (edits.length <= mostEdits || !isObject(data)) return editYaml(text, edits);
  const fields = new Set(edits.map(({ path }) => path[0] ?? ""));
  return editYaml(
    text,
    [...fields].map((field) => ({ path: [field], value: data[field] })),
  );
}

function* differences(before: unknown, after: unknown, path: FieldPath): Generator<FieldEdit> {
  if (isDeepStrictEqual(before, after)) return;
  if (isObject(before) && isObject(after)) {
    for (const key of new Set([...Object.keys(after), ...Object.keys(before)])) yield* differences(before[key], after[key], [...path, key]);
  } else if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const [index, item] of after.entries()) yield* differences(before[index], item, [...path, index]);
  } else yield { path, value: after };
}

function says(text: string, expected: unknown): boolean {
  try {
    return isDeepStrictEqual(readYamlOnce(text).data, expected);
  } catch {
    return false;
  }
}

/** For syntax that is rarely written, such as `? key`: the library writes the text anew. */
function rewrite(text: string, path: FieldPath, value: unknown): string {
  const { document } = readYaml(text);
  if (value === undefined) document.deleteIn(path);
  else document.setIn(path, document.createNode(value));
  return document.toString({ lineWidth: 0 });
}

/** @returns undefined if it cannot be done by exchanging a range of the text */
function editRange(text: string, root: unknown, path: FieldPath, value: unknown): string | undefined {
  let collection = root;
  let owner: { collection: Collection; position: number } | undefined;
  for (const [depth, part] of path.entries()) {
    if (!isCollection(collection)) return owner && replaceValue(text, owner, nest(path.slice(depth), value));
    const position = positionOf(collection, part);
    if (position < 0) return value === undefined ? undefined : insert(text, collection, part, nest(path.slice(depth + 1), value), owner);
    if (depth === path.length - 1) {
      return value === undefined ? remove(text, collection, position, owner) : replaceValue(text, { collection, position }, value);
    }
    owner = { collection, position };
    collection = nodeAt(collection, position);
  }
  return undefined;
}

function positionOf(collection: Collection, part: string | number): number {
  if (isSeq(collection)) return Number(part) < collection.items.length ? Number(part) : -1;
  return collection.items.findIndex(({ key }) => String(key.value) === String(part));
}

const nest = (path: FieldPath, value: unknown): unknown => path.reduceRight((inner, part) => ({ [part]: inner }), value);

interface Place {
  readonly collection: Collection;
  readonly position: number;
}

function replaceValue(text: string, { collection, position }: Place, value: unknown): string | undefined {
  const node = nodeAt(collection, position);
  const start = entryStart(text, collection, position);
  const from = valueStart(text, collection, position);
  if (collection.flow) {
    const range = (node as Scalar | null)?.range;
    return range && range[0] < range[1] ? `${text.slice(0, range[0])}${renderInFlow(value)}${text.slice(range[1])}` : undefined;
  }
  if (start === undefined || from === undefined) return undefined;
  const to = isBlock(node) ? lineEnd(text, entryEnd(text, collection, position)) : entryEnd(text, collection, position);
  const rendered = renderLike(node, text, value, start - lineStart(text, start), isSeq(collection));
  const [first = "", ...others] = rendered.split("\n");
  const isOneLine = others.length === 0 || isBlock(node) || isBlockScalar(node);
  if (isOneLine) return `${text.slice(0, from)}${rendered}${text.slice(to)}`;
  const end = lineEnd(text, to); // a comment behind the old value stays behind the key
  return `${text.slice(0, from)}${first}${text.slice(to, end).trimEnd()}\n${others.join("\n")}${text.slice(end)}`;
}

function insert(text: string, collection: Collection, part: string | number, value: unknown, owner: Place | undefined): string | undefined {
  const entry = isMap(collection) ? { [part]: value } : [value];
  const last = collection.items.length - 1;
  if (last < 0) return owner && replaceValue(text, owner, entry);
  const end = entryEnd(text, collection, last);
  if (collection.flow) return `${text.slice(0, end)}, ${renderInFlow(entry).slice(1, -1)}${text.slice(end)}`;
  const start = entryStart(text, collection, last);
  if (start === undefined) return undefined;
  const at = lineEnd(text, end);
  return `${text.slice(0, at)}\n${shift(renderEntry(entry), columnOf(text, collection))}${text.slice(at)}`;
}

function columnOf(text: string, collection: Collection): number {
  const first = entryStart(text, collection, 0) ?? 0;
  return first - lineStart(text, first);
}

function remove(text: string, collection: Collection, position: number, owner: Place | undefined): string | undefined {
  const start = entryStart(text, collection, position);
  const beginning = start === undefined ? -1 : lineStart(text, start);
  if (collection.flow || start === undefined || collection.items.length === 1 || /\S/.test(text.slice(beginning, start))) {
    const rest = collection.toJSON() as unknown;
    const key = isMap(collection) ? String((collection.items[position] as Pair<Scalar, unknown>).key.value) : position;
    return owner && replaceValue(text, owner, withValue(rest, [key], undefined));
  }
  const [before, after] = [text.slice(0, beginning), text.slice(lineEnd(text, entryEnd(text, collection, position)) + 1)];
  // A text that keeps the blank lines at its end (`|+`) must not get those that followed the entry.
  return before + (/[|>]\d?\+/.test(before) ? after.replace(/^(?:[ \t]*\n)+/, "") : after);
}
