/**
 * Provider objects of the AI SDK for configured models.
 *
 * Their code is loaded when a model is first used: a daemon without models pays nothing for them.
 */
import type { EmbeddingModel, LanguageModel } from "ai";
import { keyVariableOf, type ModelSettings } from "./settings.ts";

/** The model's key, or the variable that ought to hold it; nothing for one that needs none. */
export function keyOf(settings: ModelSettings): { readonly key?: string; readonly missing?: string } {
  const variable = keyVariableOf(settings);
  if (variable === undefined) return {};
  const key = process.env[variable];
  return key ? { key } : { missing: variable };
}

/** A provider of the AI SDK, as far as it is used. */
interface Provider {
  (model: string): Exclude<LanguageModel, string>;
  embeddingModel(model: string): Exclude<EmbeddingModel, string>;
}

export const providerModel = async (settings: ModelSettings) => (await providerOf(settings))(settings.model);

/** Undefined where the provider has no embeddings. */
export const providerEmbeddingModel = async (settings: ModelSettings) =>
  settings.provider === "anthropic" ? undefined : (await providerOf(settings)).embeddingModel(settings.model);

async function providerOf(settings: ModelSettings): Promise<Provider> {
  const { provider, base_url: baseURL } = settings;
  const access = { apiKey: keyOf(settings).key, ...(baseURL && { baseURL }) };
  switch (provider) {
    case "openai":
      return (await import("@ai-sdk/openai")).createOpenAI(access);
    case "anthropic":
      return (await import("@ai-sdk/anthropic")).createAnthropic(access);
    case "google":
      return (await import("@ai-sdk/google")).createGoogle(access);
    case "mistral":
      return (await import("@ai-sdk/mistral")).createMistral(access);
    case "openai_compatible": {
      const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
      return createOpenAICompatible({ ...access, name: provider, baseURL: baseURL as string, includeUsage: true });
    }
  }
}

/** Whom a failure is blamed on: models at the same place fail together. */
export const placeOf = ({ provider, base_url }: ModelSettings): string => (base_url === undefined ? provider : `${provider} ${base_url}`);
