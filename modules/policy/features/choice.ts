/** What a slot may choose of the way in which its contexts and candidates become numbers. */
import { hash } from "node:crypto";
import { z } from "zod";
import { defaultSpec, type FeatureSpec } from "./spec.ts";

const powerOfTwo = (least: number, most: number) =>
  z
    .int()
    .min(least)
    .max(most)
    .refine((value) => Number.isInteger(Math.log2(value)), "expected a power of 2");

const embedding = z.strictObject({
  embedding: z.string().min(1).max(64).describe("a model of the section `models` of reprise.yaml that embeds"),
  dimensions: z.int().min(2).max(32).default(16).describe("to which its vectors are reduced"),
});

export const featureChoice = z.strictObject({
  context: powerOfTwo(16, 2048).default(defaultSpec.context).describe("numbers that a context becomes"),
  candidate: powerOfTwo(16, 512).default(defaultSpec.candidate).describe("numbers that a candidate becomes"),
  waves: z
    .int()
    .min(0)
    .max(256)
    .refine((value) => value !== 1, "expected none, or two and more")
    .default(defaultSpec.waves)
    .describe("by which linear policies learn what is not linear in the context"),
  products: powerOfTwo(16, 1024).default(defaultSpec.products).describe("of features of the context and of the candidate"),
  identity: z.boolean().default(defaultSpec.identity).describe("whether anything is learned about a candidate by its id"),
  keys: z.array(z.string().min(1).max(64)).min(1).max(64).optional().describe("features that count; default: all"),
  text: z
    .union([z.literal("hashing"), embedding])
    .default("hashing")
    .describe("by their words alone, or by their meaning too"),
});

/** The spec of a choice. Its version follows from what it says; that of the usual one is 1. */
export function specOf({ text, keys, ...sizes }: z.output<typeof featureChoice>): FeatureSpec {
  const { context, candidate, waves, products, identity } = sizes;
  const counted = keys && [...new Set(keys)].sort();
  const said = { context, candidate, waves, products, identity, ...(counted && { keys: counted }), ...(text !== "hashing" && { text }) };
  const { version: _, ...usual } = defaultSpec;
  const content = JSON.stringify(said);
  return { version: content === JSON.stringify(usual) ? defaultSpec.version : hash("sha256", content, "hex").slice(0, 12), ...said };
}

/** A spec, as it is told. */
export const featureSpec = z.object({
  version: z.string(),
  context: z.int(),
  candidate: z.int(),
  waves: z.int(),
  products: z.int(),
  identity: z.boolean(),
  keys: z.array(z.string()).readonly().optional(),
  text: embedding.optional(),
});
