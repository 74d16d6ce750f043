/** What differs between two compositions, by path; inside a text of many lines by statement. Pure. */
import { isDeepStrictEqual } from "node:util";
import { createTwoFilesPatch } from "diff";
import { isBlockText } from "./data-merge.ts";
import { type FieldPath, formatPath, isObject } from "./field-path.ts";
import { differenceOf, mostEdits } from "./line-merge.ts";
import { type Statement, statementsOf } from "./statements.ts";

export interface Change {
  /** Inside a text its last part is a line, from 1: of the right text, or of the left one for what was removed. */
  readonly path: string;
  readonly kind: "added" | "removed" | "changed";
  readonly left?: unknown;
  readonly right?: unknown;
}

/** Undefined stands for a field that is not there. */
export function* changesBetween(left: unknown, right: unknown, path: FieldPath = []): Generator<Change> {
  if (isDeepStrictEqual(left, right)) return;
  if (isObject(left) && isObject(right)) {
    for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) yield* changesBetween(left[key], right[key], [...path, key]);
  } else if (Array.isArray(left) && Array.isArray(right)) yield* changesInList(left, right, path);
  else if (isBlockText(left) && isBlockText(right)) yield* changesInText(left, right, path);
  else yield change(path, left, right);
}

/** As `git diff` shows it. */
export function unifiedDiff(left: { label: string; text: string }, right: { label: string; text: string }): string {
  if (left.text === right.text) return "";
  const options = { context: 3, maxEditLength: mostEdits };
  const patch = createTwoFilesPatch(left.label, right.label, left.text, right.text, undefined, undefined, options);
  return patch?.replace(/^=+\n/, "") ?? `--- ${left.label}\n+++ ${right.label}\n@@ too many differences to show @@\n`;
}

function change(path: FieldPath, left: unknown, right: unknown): Change {
  const kind = left === undefined ? "added" : right === undefined ? "removed" : "changed";
  return { path: formatPath(path), kind, ...(left !== undefined && { left }), ...(right !== undefined && { right }) };
}

function* changesInList(left: readonly unknown[], right: readonly unknown[], path: FieldPath): Generator<Change> {
  for (const { before, after } of pairsOf(left, right, isDeepStrictEqual)) {
    const index = (after ?? before)?.index ?? 0;
    if (before && after) yield* changesBetween(before.item, after.item, [...path, index]);
    else yield change([...path, index], before?.item, after?.item);
  }
}

function* changesInText(left: string, right: string, path: FieldPath): Generator<Change> {
  const isEqual = (one: Statement, other: Statement) => one.text === other.text;
  let isReported = false;
  for (const { before, after } of pairsOf(statementsOf(left), statementsOf(right), isEqual)) {
    isReported = true;
    yield change([...path, (after ?? before)?.item.line ?? 1], before?.item.text, after?.item.text);
  }
  if (!isReported) yield change(path, left, right); // only blank lines, or how it ends
}

interface Placed<Item> {
  readonly index: number;
  readonly item: Item;
}

/** What has no equal on the other side; what was exchanged for something else is one pair. */
function* pairsOf<Item>(left: readonly Item[], right: readonly Item[], isEqual: (one: Item, other: Item) => boolean) {
  let [atLeft, atRight] = [0, 0];
  let removed: Placed<Item>[] = [];
  let added: Placed<Item>[] = [];
  for (const { added: isAdded, removed: isRemoved, value } of [...differenceOf(left, right, isEqual), end<Item>()]) {
    if (isRemoved) removed = value.map((item) => ({ index: atLeft++, item }));
    else if (isAdded) added = value.map((item) => ({ index: atRight++, item }));
    if (isAdded || isRemoved) continue;
    for (let place = 0; place < Math.max(removed.length, added.length); place++) yield { before: removed[place], after: added[place] };
    [removed, added] = [[], []];
    atLeft += value.length;
    atRight += value.length;
  }
}

const end = <Item>() => ({ added: false, removed: false, value: [] as Item[] });
