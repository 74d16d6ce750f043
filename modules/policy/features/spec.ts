/** How contexts and candidates become numbers, as data: a policy's state is of one spec, and useless under another. */
export interface FeatureSpec {
  /** Names the spec in logs and states; another version, other numbers. */
  readonly version: string;
  /** Dimensions of an encoded context: a power of 2. */
  readonly context: number;
  /** Dimensions of an encoded candidate: a power of 2. */
  readonly candidate: number;
  /** Random waves over the context, by which linear models learn what is not linear. */
  readonly waves: number;
  /** Dimensions of the products of context and candidate: a power of 2. */
  readonly products: number;
  /** Whether the id of a candidate is a feature of it: what is learned about a candidate by name, beside what its features say. */
  readonly identity: boolean;
  /** Keys that count, of contexts and candidates; all others are passed over. Without it all count. */
  readonly keys?: readonly string[];
  /** What gives texts a meaning beside their words; without it words are all that counts of them. */
  readonly text?: TextSpec;
}

export interface TextSpec {
  /** A model of the section `models` that turns texts into vectors. */
  readonly embedding: string;
  /** To which these are reduced. */
  readonly dimensions: number;
}

export const defaultSpec: FeatureSpec = { version: "1", context: 512, candidate: 64, waves: 64, products: 256, identity: true };

/** Where the parts of a row begin; the first number of a row is 1. */
export interface RowLayout {
  readonly context: number;
  readonly waves: number;
  /** What differs between the candidates begins here. */
  readonly candidate: number;
  readonly products: number;
  readonly length: number;
}

export function rowLayout(spec: FeatureSpec): RowLayout {
  const context = 1;
  const waves = context + spec.context;
  const candidate = waves + spec.waves;
  const products = candidate + spec.candidate;
  return { context, waves, candidate, products, length: products + spec.products };
}
