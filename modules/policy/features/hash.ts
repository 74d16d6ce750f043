/** Signed feature hashing (Weinberger et al. 2009, arXiv 0902.2206): features by name in a vector of fixed length, with no dictionary. */

const start = 0x811c9dc5;

/** 32 bits of a text: FNV-1a, finalised. */
export const hash = (text: string): number => finalise(absorb(start, text));

/** The same as hash(key + detail), faster where the keys are few. */
export function hashParts(key: string, detail: string): number {
  let absorbed = keys.get(key);
  if (absorbed === undefined) {
    absorbed = absorb(start, key);
    if (keys.size >= mostRemembered) keys.clear();
    keys.set(key, absorbed);
  }
  return finalise(absorb(absorbed, detail));
}

const mostRemembered = 8_192;
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
 * @param vector its length is a power of 2
 */
export function addFeature(vector: Float32Array, code: number, value: number): void {
  const { first, second, left, right } = placesOf(code, vector.length);
  vector[first] = (vector[first] as number) + left * value;
  vector[second] = (vector[second] as number) + right * value;
}

function placesOf(code: number, length: number) {
  const mask = length - 1;
  const first = (code >>> 2) & mask;
  const second = (first ^ ((code >>> 17) | 1)) & mask;
  return { first, second, left: code & 1 ? Math.SQRT1_2 : -Math.SQRT1_2, right: code & 2 ? Math.SQRT1_2 : -Math.SQRT1_2 };
}
