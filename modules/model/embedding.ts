/** One request for the vectors of some texts. */
import { type Failure, failureOf } from "./failure.ts";
import { keyOf, providerEmbeddingModel } from "./providers.ts";
import type { Usage } from "./schema.ts";
import type { ModelSettings } from "./settings.ts";

export interface Embedded {
  readonly kind: "embedded";
  /** One a text, in order, all as long. */
  readonly vectors: number[][];
  readonly usage: Usage;
}

export interface Embedding {
  readonly settings: ModelSettings;
  readonly texts: readonly string[];
  readonly signal: AbortSignal;
}

/** Far beyond what models have. */
const mostDimensions = 8_192;
/** Where a provider takes few texts at once, so many requests are under way together. */
const mostRequests = 4;
/** Of English text, roughly. */
const lettersPerToken = 4;

/** @throws the reason of the signal */
export async function embedOnce({ settings, texts, signal }: Embedding): Promise<Embedded | Failure> {
  const timeout = AbortSignal.timeout(settings.timeout * 1000);
  try {
    const { embedMany } = await import("ai");
    Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false }); // they would go to the console
    const model = await providerEmbeddingModel(settings);
    if (model === undefined) return { kind: "refused", message: `${settings.provider} has no embeddings` };
    const { embeddings, usage } = await embedMany({
      model,
      // Half a character, as cutting may leave, is no JSON to some.
      values: texts.map((text) => text.toWellFormed()),
      maxParallelCalls: mostRequests,
      maxRetries: 0, // patience.ts decides about that
      abortSignal: AbortSignal.any([signal, timeout]),
    });
    if (!areVectors(embeddings, texts.length)) throw new Error("the answer is not one vector a text");
    const letters = texts.reduce((sum, text) => sum + text.length, 0);
    const input_tokens = usage.tokens || Math.ceil(letters / lettersPerToken);
    return { kind: "embedded", vectors: embeddings, usage: { input_tokens, output_tokens: 0, cached_tokens: 0 } };
  } catch (error) {
    signal.throwIfAborted();
    if (timeout.aborted) return { kind: "passing", message: `no answer within ${settings.timeout} s` };
    return failureOf(error, keyOf(settings).key);
  }
}

function areVectors(vectors: readonly (readonly number[])[], count: number): boolean {
  const dimensions = vectors[0]?.length ?? 0;
  const fits = dimensions > 0 && dimensions <= mostDimensions && vectors.length === count;
  return fits && vectors.every((vector) => vector.length === dimensions && vector.every(Number.isFinite));
}
