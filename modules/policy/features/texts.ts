/** The texts of a choice, and what they mean: vectors that are found when the choice is made, and logged with it. */
import { hash } from "node:crypto";
import type { Candidate } from "../policies/policy.ts";
import type { FeatureSpec } from "./spec.ts";
import { type Features, type VectorOf, walk } from "./walk.ts";

export interface Embeddings {
  /** Name of the model. */
  readonly model: string;
  readonly dimensions: number;
  /** By digest of the text. */
  readonly vectors: Readonly<Record<string, readonly number[]>>;
  /** Texts without a vector: of them the words alone count. */
  readonly missing?: number | undefined;
  readonly reason?: string | undefined;
}

/** Of one choice, the context's first. */
const mostTexts = 256;

/** The first 64 bits of the SHA-256 of a text. */
export const digestOf = (text: string): string => hash("sha256", text, "hex").slice(0, 16);

/** What counts as a text under this spec: strings of several words. Each once. */
export function textsOf({ keys }: FeatureSpec, context: Features, candidates: readonly Candidate[]): string[] {
  const texts = new Set<string>();
  const find: VectorOf = (text) => {
    if (texts.size < mostTexts && text.trim() !== "") texts.add(text);
    return undefined;
  };
  for (const features of [context, ...candidates.map(({ features = {} }) => features)]) walk(features, keys, () => {}, find);
  return [...texts];
}

/** Vectors of another model, or of other dimensions, mean something else: then words alone count. */
export function vectorsFor({ text }: FeatureSpec, embeddings: Embeddings | undefined): VectorOf | undefined {
  if (text === undefined || embeddings?.model !== text.embedding || embeddings.dimensions !== text.dimensions) return undefined;
  const { vectors } = embeddings;
  return (asked) => vectors[digestOf(asked)];
}
