/** From JSON to numbers: signed feature hashing (Weinberger et al. 2009, arXiv 0902.2206), with no dictionary to keep. */
import type { Candidate, Situation } from "../policies/policy.ts";
import { finalise, hash } from "./hash.ts";
import type { FeatureSpec } from "./spec.ts";

/** Features by name: numbers, booleans, strings, lists of tags or numbers, and records of these. */
export type Features = Readonly<Record<string, unknown>>;

const deepest = 3;
const mostItems = 256;
const word = /[\p{L}\p{N}]+/gu;

/** The situation of one choice, in O(features × candidates). Unusable values (null, NaN, functions) are passed over. */
export function encode(spec: FeatureSpec, context: Features, candidates: readonly Candidate[]): Situation {
  const counts = (key: string) => spec.keys === undefined || spec.keys.includes(key);
  const encodedContext = new Float32Array(spec.context);
  add(encodedContext, context, counts);
  const encoded = candidates.map(({ id, features }) => {
    const vector = new Float32Array(spec.candidate);
    if (features !== undefined) add(vector, features, counts);
    if (spec.identity) put(vector, `id=${id}`, 1);
    return vector;
  });
  return {
    context: encodedContext,
    candidates: encoded,
    rows: encoded.map((vector) => cross(encodedContext, vector, spec.row)),
    ids: candidates.map(({ id }) => id),
  };
}

function add(vector: Float32Array, features: Features, counts: (key: string) => boolean): void {
  for (const key in features) if (counts(key)) addValue(vector, key, features[key], 1, 0);
}

function addValue(vector: Float32Array, key: string, value: unknown, weight: number, depth: number): void {
  switch (typeof value) {
    case "number":
      if (Number.isFinite(value)) put(vector, key, weight * squash(value));
      return;
    case "boolean":
      put(vector, `${key}=${value}`, weight);
      return;
    case "string":
      addText(vector, key, value, weight);
      return;
    case "object":
      if (value === null || depth === deepest) return;
      if (Array.isArray(value)) addList(vector, key, value.slice(0, mostItems), weight, depth);
      else for (const [name, inner] of Object.entries(value)) addValue(vector, `${key}.${name}`, inner, weight, depth + 1);
  }
}

/** Tags in any order count alike; numbers, as of an embedding, by their position. */
function addList(vector: Float32Array, key: string, list: readonly unknown[], weight: number, depth: number): void {
  const shared = weight / Math.sqrt(list.length);
  list.forEach((item, index) => {
    addValue(vector, typeof item === "number" ? `${key}.${index}` : key, item, shared, depth + 1);
  });
}

/** A single word is a category; of a text each word counts, in any order, all of them together as much as one category. */
function addText(vector: Float32Array, key: string, text: string, weight: number): void {
  const words = [...new Set(text.toLowerCase().match(word))].slice(0, mostItems);
  if (words.length <= 1 || !/\s/.test(text)) put(vector, `${key}=${text}`, weight);
  else for (const each of words) put(vector, `${key}:${each}`, weight / Math.sqrt(words.length));
}

/** Linear up to 1, logarithmic beyond, so that milliseconds and money do not drown what is measured from 0 to 1. */
const squash = (value: number): number => (Math.abs(value) <= 1 ? value : Math.sign(value) * (1 + Math.log(Math.abs(value))));

function put(vector: Float32Array, name: string, value: number): void {
  const code = hash(name);
  const index = (code >>> 1) % vector.length;
  vector[index] = (vector[index] as number) + (code & 1 ? value : -value);
}

function cross(context: Float32Array, candidate: Float32Array, length: number): Float32Array {
  const row = new Float32Array(length);
  row[0] = 1;
  const bump = (code: number, value: number) => {
    const index = 1 + ((code >>> 1) % (length - 1));
    row[index] = (row[index] as number) + (code & 1 ? value : -value);
  };
  for (let right = 0; right < candidate.length; right++) {
    const value = candidate[right] as number;
    if (value === 0) continue;
    bump(finalise(right), value);
    for (let left = 0; left < context.length; left++) {
      const other = context[left] as number;
      if (other !== 0) bump(finalise((left + 1) * 65_536 + right), value * other);
    }
  }
  return row;
}
