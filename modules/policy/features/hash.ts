/** Signed feature hashing (Weinberger et al. 2009, arXiv 0902.2206): features by name in a vector of fixed length, with no dictionary. */
import type { SparseRowsBuilder } from "./sparse-rows.ts";

const start = 0x811c9dc5;

/** 32 bits of a text: FNV-1a, finalised. */
export const hash = (text: string): number => finalise(absorb(start, text));

/** The same as hash(key + detail), faster where the keys are few. */
export function hashParts(key: string, detail: string): number {
  let absorbed = keys.get(key);
  if (absorbed === undefined) {
    absorbed = absorb(start, key);
    if (key.length > longestRemembered) return finalise(absorb(absorbed, detail));
    if (keys.size >= mostRemembered) keys.clear();
    keys.set(key, absorbed);
  }
  return finalise(absorb(absorbed, detail));
}

const mostRemembered = 8_192;
const longestRemembered = 256;
/** What is left of the text of a key. */
const keys = new Map<string, number>();

function absorb(code: number, text: string): number {
  let absorbed = code;
  for (let index = 0; index < text.length; index++) absorbed = Math.imul(absorbed ^ text.charCodeAt(index), 0x01000193);
  return absorbed;
}

/** Spreads the bits of an integer over all 32: the finaliser of MurmurHash3. */
export function finalise(code: number): number {
  let mixed = Math.imul(code ^ (code >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/**
 * Adds a feature in two places: where two features meet in one, the other still tells them apart.
 * @param offset of the part of the row that the feature belongs to
 * @param length of that part: a power of 2
 */
export function addFeature(row: SparseRowsBuilder, code: number, value: number, offset: number, length: number): void {
  const mask = length - 1;
  const first = (code >>> 2) & mask;
  const second = (first ^ ((code >>> 17) | 1)) & mask;
  const part = Math.SQRT1_2 * value;
  row.add(offset + first, code & 1 ? part : -part);
  row.add(offset + second, code & 2 ? part : -part);
}
