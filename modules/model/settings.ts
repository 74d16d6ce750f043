/** The section `models` of `reprise.yaml`: which models there are, by the names that patterns and agents use. */
import { z } from "zod";
import type { Usage } from "./schema.ts";

/** Provider → the environment variable that holds its key. Keys stand nowhere else. */
const keyVariables = {
  openai: "OPENAI_API_KEY",
  anthropic: "ANTHROPIC_API_KEY",
  google: "GOOGLE_GENERATIVE_AI_API_KEY",
  mistral: "MISTRAL_API_KEY",
  openai_compatible: undefined,
} as const;
type ProviderName = keyof typeof keyVariables;

const price = z.strictObject({
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  cached_input: z.number().nonnegative().optional().describe("of input that the provider had in its cache; default: as other input"),
});

const model = z
  .strictObject({
    provider: z.enum(Object.keys(keyVariables) as [ProviderName, ...ProviderName[]]),
    model: z.string().min(1).describe("the provider's name for it"),
    base_url: z.url({ protocol: /^https?$/ }).optional(),
    key_variable: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "expected the name of an environment variable")
      .optional(),
    price: price.optional().describe("in dollars per million tokens"),
    max_tokens: z.number().int().min(1).max(1_000_000).default(8192).describe("of an answer, its thinking included"),
    timeout: z.number().positive().max(600).default(120).describe("seconds for one attempt"),
    attempts: z.number().int().min(1).max(10).default(3),
    fallbacks: z.array(z.string()).max(10).default([]).describe("models to ask in its place, in this order"),
  })
  .refine(({ provider, base_url }) => provider !== "openai_compatible" || base_url !== undefined, {
    error: "openai_compatible needs base_url",
    path: ["base_url"],
  });

export type ModelSettings = Readonly<z.output<typeof model>>;

export const modelsSection = z.record(z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/), model).superRefine((models, context) => {
  for (const [name, { fallbacks }] of Object.entries(models)) {
    for (const fallback of fallbacks) {
      if (fallback !== name && Object.hasOwn(models, fallback)) continue;
      context.addIssue({ code: "custom", path: [name, "fallbacks"], message: `"${fallback}" is not another model of this section` });
    }
  }
});
export type ModelsSection = Readonly<z.output<typeof modelsSection>>;

/** The variable that this model's key is read from; undefined = it needs none. */
export const keyVariableOf = ({ provider, key_variable }: ModelSettings): string | undefined => key_variable ?? keyVariables[provider];

/** Dollars; undefined for a model without a price. */
export function costOf({ input_tokens, output_tokens, cached_tokens }: Usage, price: ModelSettings["price"]): number | undefined {
  if (price === undefined) return undefined;
  const { input, output, cached_input = input } = price;
  return ((input_tokens - cached_tokens) * input + cached_tokens * cached_input + output_tokens * output) / 1e6;
}
