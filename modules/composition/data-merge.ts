/** Three-way merge of what compositions say: maps by key, lists by entry, texts of many lines by line. Pure. */
import { isDeepStrictEqual } from "node:util";
import { type FieldPath, formatPath, isObject, isPrefix } from "./field-path.ts";
import { regionsOf } from "./line-merge.ts";

/** Both sides changed the same place differently. A side that has nothing there is absent. */
export interface Conflict {
  readonly path: string;
  readonly base?: unknown;
  readonly ours?: unknown;
  readonly theirs?: unknown;
}

/** Settles the conflicts at a path and below it; a value stands for the whole place. */
export interface Resolution {
  readonly path: FieldPath;
  readonly choice: "ours" | "theirs" | { readonly value: unknown };
}

export interface DataMerge {
  /** With `ours` where there is a conflict. */
  readonly value: unknown;
  readonly conflicts: readonly Conflict[];
  /** Resolutions of conflicts that there are not. */
  readonly unused: readonly Resolution[];
}

/** Lists at the top that are sets: both sides may add to them and take from them. */
const sets = new Set(["tags", "capabilities", "learnings"]);

/** Undefined stands for a field that is not there. */
export function mergeData(base: unknown, ours: unknown, theirs: unknown, resolutions: readonly Resolution[] = []): DataMerge {
  const conflicts: Conflict[] = [];
  const used = new Set<Resolution>();

  function merge(path: FieldPath, before: unknown, our: unknown, their: unknown): unknown {
    const given = resolutions.find(({ choice, path: at }) => typeof choice === "object" && at.length === path.length && isPrefix(at, path));
    if (given && typeof given.choice === "object") {
      used.add(given);
      return given.choice.value;
    }
    if (isDeepStrictEqual(our, their) || isDeepStrictEqual(before, their)) return our;
    if (isDeepStrictEqual(before, our)) return their;
    if (isObject(our) && isObject(their)) return mergeMaps(path, isObject(before) ? before : {}, our, their);
    if (Array.isArray(our) && Array.isArray(their)) return mergeLists(path, before, our, their);
    if (isBlockText(before) && isBlockText(our) && isBlockText(their)) return mergeLines(path, before, our, their);
    return settle(path, before, our, their);
  }

  function mergeMaps(path: FieldPath, before: Fields, our: Fields, their: Fields): unknown {
    const keys = new Set([...Object.keys(our), ...Object.keys(their)]);
    const merged = [...keys].map((key) => [key, merge([...path, key], own(before, key), own(our, key), own(their, key))] as const);
    return Object.fromEntries(merged.filter(([, value]) => value !== undefined));
  }

  function mergeLists(path: FieldPath, before: unknown, our: readonly unknown[], their: readonly unknown[]): unknown {
    const original: readonly unknown[] = Array.isArray(before) ? before : [];
    if (path.length === 1 && sets.has(String(path[0]))) return mergeSets(original, our, their);
    const regions = regionsOf(original, our, their, isDeepStrictEqual);
    const merged: unknown[] = [];
    for (const region of regions) {
      if (region.kind === "stable") merged.push(...region.items);
      else if (isDeepStrictEqual(region.base, region.theirs) || isDeepStrictEqual(region.ours, region.theirs)) merged.push(...region.ours);
      else if (isDeepStrictEqual(region.base, region.ours)) merged.push(...region.theirs);
      else if (new Set([region.base.length, region.ours.length, region.theirs.length]).size === 1) {
        const start = merged.length;
        merged.push(...region.base.map((item, index) => merge([...path, start + index], item, region.ours[index], region.theirs[index])));
      } else return settle(path, before, our, their);
    }
    return merged;
  }

  function mergeLines(path: FieldPath, before: string, our: string, their: string): string {
    const regions = regionsOf(before.split("\n"), our.split("\n"), their.split("\n"));
    const lines = regions.flatMap((region): readonly string[] => {
      if (region.kind === "stable") return region.items;
      const [original = "", mine = "", other = ""] = [region.base, region.ours, region.theirs].map((part) => part.join("\n"));
      if (isDeepStrictEqual(region.base, region.theirs) || isDeepStrictEqual(region.ours, region.theirs)) return region.ours;
      if (isDeepStrictEqual(region.base, region.ours)) return region.theirs;
      const chosen = settle([...path, region.at + 1], original, mine, other);
      return chosen === mine ? region.ours : chosen === other ? region.theirs : String(chosen).split("\n");
    });
    return lines.join("\n");
  }

  function settle(path: FieldPath, before: unknown, our: unknown, their: unknown): unknown {
    const resolution = resolutions.find(
      ({ path: at, choice }) => isPrefix(at, path) && (typeof choice === "string" || at.length === path.length),
    );
    if (resolution === undefined) {
      conflicts.push({ path: formatPath(path), base: before, ours: our, theirs: their });
      return our;
    }
    used.add(resolution);
    if (typeof resolution.choice === "object") return resolution.choice.value;
    return resolution.choice === "ours" ? our : their;
  }

  const value = merge([], base, ours, theirs);
  return { value, conflicts, unused: resolutions.filter((resolution) => !used.has(resolution)) };
}

type Fields = Readonly<Record<string, unknown>>;

const own = (fields: Fields, key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined);

export const isBlockText = (value: unknown): value is string => typeof value === "string" && value.includes("\n");

function mergeSets(before: readonly unknown[], our: readonly unknown[], their: readonly unknown[]): unknown[] {
  const [original, ours, theirs] = [before, our, their].map((list) => new Set(list.map((item) => JSON.stringify(item))));
  const isIn = (set: Set<string> | undefined, item: unknown) => set?.has(JSON.stringify(item)) === true;
  const kept = our.filter((item) => isIn(theirs, item) || !isIn(original, item));
  return [...kept, ...their.filter((item) => !isIn(ours, item) && !isIn(original, item))];
}
