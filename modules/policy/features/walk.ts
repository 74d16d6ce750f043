/** Features as they are asked, and how they fall apart into named numbers. */

/** By name: numbers, booleans, strings, lists of tags or numbers, and records of these. */
export type Features = Readonly<Record<string, unknown>>;

/**
 * Called for each number. Its name is key + detail, as in `cost`, `color=red`, `task:summarize`; `isWord` for the words of a
 * text, of which there are many that say little.
 */
export type Visit = (key: string, detail: string, value: number, isWord: boolean) => void;

/** What a text means, as a vector of length 1; undefined where nobody knows. */
export type VectorOf = (text: string) => readonly number[] | undefined;

const deepest = 3;
const mostItems = 256;
/** What all the words of a text weigh together, where a category weighs 1: most of them say nothing. */
const textWeight = 0.3;
/** Begins the details of what a text means. */
export const meaning = "~";
const word = /[\p{L}\p{N}]+/gu;
const space = /\s/;

/** Unusable values (null, NaN, functions, what is nested too deep) are passed over. */
export function walk(features: Features, keys: readonly string[] | undefined, visit: Visit, vectorOf?: VectorOf): void {
  for (const key in features) if (keys === undefined || keys.includes(key)) walkFeature(key, features[key], visit, vectorOf);
}

/** The same of one feature. */
export const walkFeature = (key: string, value: unknown, visit: Visit, vectorOf?: VectorOf): void =>
  walkValue(key, value, 1, 0, visit, vectorOf);

function walkValue(key: string, value: unknown, weight: number, depth: number, visit: Visit, vectorOf: VectorOf | undefined): void {
  switch (typeof value) {
    case "number":
      if (Number.isFinite(value)) visit(key, "", weight * squash(value), false);
      return;
    case "boolean":
      visit(key, value ? "=true" : "=false", weight, false);
      return;
    case "string":
      walkText(key, value, weight, visit, vectorOf);
      return;
    case "object":
      if (value === null || depth === deepest) return;
      if (Array.isArray(value)) walkList(key, value, weight, depth, visit, vectorOf);
      else for (const name in value) walkValue(`${key}.${name}`, (value as Features)[name], weight, depth + 1, visit, vectorOf);
  }
}

/** Tags count alike in any order; numbers, as of an embedding, by their position. */
function walkList(
  key: string,
  list: readonly unknown[],
  weight: number,
  depth: number,
  visit: Visit,
  vectorOf: VectorOf | undefined,
): void {
  const items = list.slice(0, mostItems);
  const shared = weight / Math.sqrt(items.length);
  items.forEach((item, index) => {
    walkValue(typeof item === "number" ? `${key}.${index}` : key, item, shared, depth + 1, visit, vectorOf);
  });
}

/** A single word is a category; of a text each word counts, in any order, and its meaning as much as a category. */
function walkText(key: string, text: string, weight: number, visit: Visit, vectorOf: VectorOf | undefined): void {
  if (!space.test(text)) {
    visit(key, `=${text}`, weight, false);
    return;
  }
  const words = [...new Set(text.toLowerCase().match(word))].slice(0, mostItems);
  for (const each of words) visit(key, `:${each}`, (textWeight * weight) / Math.sqrt(words.length), true);
  vectorOf?.(text)?.forEach((value, index) => {
    visit(key, `${meaning}${index}`, weight * value, false);
  });
}

/** Linear up to 3, logarithmic beyond, so that milliseconds and money do not drown what is measured from 0 to 1. */
const squash = (value: number): number => (Math.abs(value) <= 3 ? value : Math.sign(value) * (3 + Math.log(Math.abs(value) / 3)));
