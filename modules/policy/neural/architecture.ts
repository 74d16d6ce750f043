/** What a network may be like. One that serves scores in the event loop, so its size is bounded by what a choice takes. */
import { z } from "zod";

const mostCandidates = 256;
/** Multiplications of a transformer for a choice among the most candidates: about 30 ms. */
const mostMultiplications = 35e6;

const perceptronShape = z.strictObject({
  kind: z.literal("mlp").describe("scores each candidate alone"),
  width: z.int().min(8).max(256).default(64),
  layers: z.int().min(1).max(3).default(1),
});

const transformerShape = z
  .strictObject({
    kind: z.literal("transformer").describe("scores all candidates together, each in view of the others"),
    width: z.int().min(8).max(256).default(64).describe("d_model"),
    heads: z.int().min(1).max(16).default(4).describe("a divisor of the width"),
    layers: z.int().min(1).max(8).default(2),
  })
  .refine(({ width, heads }) => width % heads === 0, "the heads have to divide the width")
  .refine(
    (shape) => multiplications(shape) <= mostMultiplications,
    `too large to serve: a choice among ${mostCandidates} candidates would keep the daemon for more than 30 ms (width 64 with 2 layers would not)`,
  );

export const architecture = z.discriminatedUnion("kind", [perceptronShape, transformerShape]);

/** A perceptron over the context and each candidate alone, or a transformer over the context and all candidates together. */
export type Architecture = Readonly<z.output<typeof architecture>>;

/** A network that serves 50 candidates in well under a millisecond. */
export const smallNetwork: Architecture = { kind: "mlp", width: 64, layers: 1 };

/** Of the matrices of each layer, with a perceptron twice as wide as a token, and of its attention. */
const multiplications = ({ width, layers }: { readonly width: number; readonly layers: number }): number => {
  const tokens = mostCandidates + 1;
  return layers * tokens * (8 * width ** 2 + 2 * tokens * width);
};
