/** Three-way merge of lists, such as the lines of a text: what both sides left alone holds the rest together (diff3). Pure. */
import { diffArrays } from "diff";

/** The time to compare grows with the square of the differences; lists with more of them have nothing in common. */
export const mostEdits = 2_000;

/** A stretch of the merge. A `changed` one differs on at least one side from the base. */
export type Region<Item> =
  | { readonly kind: "stable"; readonly items: readonly Item[] }
  | {
      readonly kind: "changed";
      /** Where it begins in the base, from 0. */
      readonly at: number;
      readonly base: readonly Item[];
      readonly ours: readonly Item[];
      readonly theirs: readonly Item[];
    };

/** Cuts three lists into regions; changes that touch each other are one region. */
export function regionsOf<Item>(
  base: readonly Item[],
  ours: readonly Item[],
  theirs: readonly Item[],
  isEqual: (left: Item, right: Item) => boolean = Object.is,
): Region<Item>[] {
  const inOurs = matches(base, ours, isEqual);
  const inTheirs = matches(base, theirs, isEqual);
  const regions: Region<Item>[] = [];
  let [b, o, t] = [0, 0, 0];
  const close = (toBase: number, toOurs: number, toTheirs: number) => {
    const changed = { base: base.slice(b, toBase), ours: ours.slice(o, toOurs), theirs: theirs.slice(t, toTheirs) };
    if (toBase > b || toOurs > o || toTheirs > t) regions.push({ kind: "changed", at: b, ...changed });
    [b, o, t] = [toBase, toOurs, toTheirs];
  };
  for (let at = 0; at < base.length; at++) {
    const [atOurs, atTheirs] = [inOurs[at], inTheirs[at]];
    if (atOurs === undefined || atTheirs === undefined) continue;
    close(at, atOurs, atTheirs);
    const last = regions.at(-1);
    const item = ours[atOurs] as Item;
    if (last?.kind === "stable") (last.items as Item[]).push(item);
    else regions.push({ kind: "stable", items: [item] });
    [b, o, t] = [at + 1, atOurs + 1, atTheirs + 1];
  }
  close(base.length, ours.length, theirs.length);
  return regions;
}

/** For each item of the one list its place in the other, where it has one. */
function matches<Item>(
  one: readonly Item[],
  other: readonly Item[],
  isEqual: (left: Item, right: Item) => boolean,
): (number | undefined)[] {
  const places: (number | undefined)[] = [];
  let place = 0;
  for (const { added, removed, value } of differenceOf(one, other, isEqual)) {
    if (added) place += value.length;
    else for (const _ of value) places.push(removed ? undefined : place++);
  }
  return places;
}

/** What leads from one list to another: stretches that both have, that only the first has, that only the second has. */
export function differenceOf<Item>(
  one: readonly Item[],
  other: readonly Item[],
  isEqual: (left: Item, right: Item) => boolean,
): { readonly value: readonly Item[]; readonly added: boolean; readonly removed: boolean }[] {
  const found = diffArrays([...one], [...other], { comparator: isEqual, maxEditLength: mostEdits });
  if (found) return found;
  return [
    { value: one, added: false, removed: true },
    { value: other, added: true, removed: false },
  ];
}
