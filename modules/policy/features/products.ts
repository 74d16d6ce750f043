/** What features of a candidate have to do with those of the context: their products, in a count sketch. */
import type { SparseRowsBuilder } from "./sparse-rows.ts";
import type { RowLayout } from "./spec.ts";

/** Features of a context that are each multiplied with those of the candidates; further ones share their places. */
const mostFactors = 16;

/** Features of a context that those of the candidates are multiplied with. */
export interface Factors {
  readonly codes: number[];
  readonly values: number[];
}

export const noFactors = (): Factors => ({ codes: [], values: [] });

export function addFactor({ codes, values }: Factors, code: number, value: number): void {
  if (codes.length < mostFactors) {
    codes.push(code);
    values.push(value);
  } else {
    const place = (code >>> 1) % mostFactors;
    values[place] = (values[place] as number) + (code & 1 ? value : -value);
  }
}

/**
 * Adds the products of one feature of a candidate with all factors: a count sketch of the outer product (Pham and Pagh 2013), in which the
 * hash of a pair is the sum of the hashes.
 */
export function addProducts(row: SparseRowsBuilder, { codes, values }: Factors, code: number, value: number, layout: RowLayout): void {
  const { products: offset, length } = layout;
  const mask = length - offset - 1;
  for (let each = 0; each < codes.length; each++) {
    const sum = ((codes[each] as number) + code) | 0;
    const product = value * (values[each] as number);
    row.add(offset + ((sum >>> 8) & mask), sum & 128 ? product : -product);
  }
}
