/** Merging two texts of compositions on a third that both come from. Pure. */
import { CodedError } from "../../daemon/errors.ts";
import type { CompositionFields } from "./content.ts";
import { type Conflict, isBlockText, mergeData, type Resolution } from "./data-merge.ts";
import { type FieldPath, formatPath, valueAt, withValue } from "./field-path.ts";
import { regionsOf } from "./line-merge.ts";
import { mergeTexts, type Takes } from "./text-merge.ts";

export const mergeStrategies = ["full", "selective", "metadata_only"] as const;
export type MergeStrategy = (typeof mergeStrategies)[number];

/** A text and what it says. */
export interface Version {
  readonly text: string;
  readonly fields: CompositionFields;
}

export interface MergeRequest {
  readonly base: Version;
  readonly ours: Version;
  readonly theirs: Version;
  readonly strategy: MergeStrategy;
  /** For `selective`: what is taken from theirs. */
  readonly improvements: readonly FieldPath[];
  readonly resolutions: readonly Resolution[];
}

export type MergeResult = { readonly conflicts: readonly Conflict[] } | { readonly text: string };

/** What each composition has of its own, whatever is merged into it. */
export const ownFields: readonly string[] = ["name", "type", "version", "lineage", "performance"];

/** @throws CodedError REQUEST_INVALID for a path or a resolution that does not fit */
export function merge({ base, ours, theirs, strategy, improvements, resolutions }: MergeRequest): MergeResult {
  const kept = strategy === "metadata_only" ? [...ownFields, "orchestration_logic"] : ownFields;
  const taken = strategy === "selective" ? takeOnly(improvements, base.fields, theirs.fields) : theirs.fields;
  const merged = mergeData(like(base.fields, ours.fields, kept), ours.fields, like(taken, ours.fields, kept), resolutions);
  const [unused] = merged.unused;
  if (unused) throw invalidRequest("resolutions", `there is no conflict at ${formatPath(unused.path)} to resolve`);
  if (merged.conflicts.length > 0) return { conflicts: merged.conflicts };
  const takes: Takes = (key) => {
    if (strategy === "selective") return key !== undefined && improvements.some((path) => path[0] === key);
    return key === undefined || !kept.includes(key);
  };
  return { text: mergeTexts({ base: base.text, ours: ours.text, theirs: theirs.text }, merged.value, takes) };
}

/** With these fields of another one, or without those that it does not have. */
function like(fields: CompositionFields, other: CompositionFields, keys: readonly string[]): CompositionFields {
  return keys.reduce((result, key) => withValue(result, [key], other[key]) as CompositionFields, fields);
}

/** The base, changed at these paths to what theirs say; a line of a text stands for the change that it is in. */
function takeOnly(paths: readonly FieldPath[], base: CompositionFields, theirs: CompositionFields): CompositionFields {
  if (paths.length === 0) throw invalidRequest("improvements", "a selective merge needs the paths to take");
  let taken: unknown = base;
  const lines = new Map<string, { path: FieldPath; lines: number[] }>();
  for (const path of paths) {
    if (ownFields.includes(String(path[0]))) throw invalidRequest("improvements", `${formatPath(path)} is each composition's own`);
    const parent = path.slice(0, -1);
    if (isBlockText(valueAt(theirs, parent))) {
      const entry = lines.get(formatPath(parent)) ?? { path: parent, lines: [] };
      entry.lines.push(Number(path.at(-1)));
      lines.set(formatPath(parent), entry);
      continue;
    }
    const value = valueAt(theirs, path);
    if (value === undefined && valueAt(base, path) === undefined) {
      throw invalidRequest("improvements", `there is nothing at ${formatPath(path)}`);
    }
    taken = withValue(taken, path, value);
  }
  for (const { path, lines: chosen } of lines.values()) {
    taken = withValue(taken, path, takeLines(String(valueAt(base, path) ?? ""), String(valueAt(theirs, path)), path, chosen));
  }
  return taken as CompositionFields;
}

/** @param chosen lines of theirs, from 1, or of the base for what theirs removed */
function takeLines(base: string, theirs: string, path: FieldPath, chosen: readonly number[]): string {
  const missing = new Set(chosen);
  const other = theirs.split("\n");
  let [atBase, atTheirs] = [0, 0];
  const lines = regionsOf(base.split("\n"), other, other).flatMap((region) => {
    const before = region.kind === "stable" ? region.items : region.base;
    const after = region.kind === "stable" ? region.items : region.theirs;
    const isIn = (line: number, from: number, length: number) => line > from && line <= from + length;
    const isChosen = (line: number) => (after.length > 0 ? isIn(line, atTheirs, after.length) : isIn(line, atBase, before.length));
    const found = chosen.filter(isChosen);
    if (region.kind === "changed") for (const line of found) missing.delete(line);
    atBase += before.length;
    atTheirs += after.length;
    return found.length > 0 ? after : before;
  });
  const [line] = missing;
  if (line !== undefined) throw invalidRequest("improvements", `nothing was changed at ${formatPath([...path, line])}`);
  return lines.join("\n");
}

/** The next minor version; a pre-release is completed. */
export function nextVersion(version: string): string {
  const [major = "0", minor = "0"] = version.split(/[.+-]/);
  return `${major}.${Number(minor) + 1}.0`;
}

export const invalidRequest = (field: string, message: string): CodedError =>
  new CodedError("REQUEST_INVALID", message, { issues: [{ message, path: [field] }] });
