/** 32 bits of a text: FNV-1a, with the finaliser of MurmurHash3 so that low bits are as good as high ones. */
export function hash(text: string): number {
  let code = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) code = Math.imul(code ^ text.charCodeAt(index), 0x01000193);
  return finalise(code);
}

/** Spreads the bits of an integer over 32. */
export function finalise(code: number): number {
  let mixed = Math.imul(code ^ (code >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
