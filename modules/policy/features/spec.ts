/** How contexts and candidates become numbers, as data: a policy's state is of one spec, and useless under another. */
export interface FeatureSpec {
  /** Names the spec in logs and states; another version, other numbers. */
  readonly version: string;
  /** Dimensions of an encoded context. */
  readonly context: number;
  /** Dimensions of an encoded candidate. */
  readonly candidate: number;
  /** Dimensions of a row, for linear models. */
  readonly row: number;
  /** Whether the id of a candidate is a feature of it: what is learned about a candidate by name, beside what its features say. */
  readonly identity: boolean;
  /** Keys that count, of contexts and candidates; all others are passed over. Without it all count. */
  readonly keys?: readonly string[];
}

export const defaultSpec: FeatureSpec = { version: "1", context: 128, candidate: 64, row: 256, identity: true };
