/** What models are asked and what they answer: the shapes of the commands and of the module's events. */
import { z } from "zod";

const toolCall = z.object({
  id: z.string(),
  name: z.string(),
  arguments: z.unknown(),
  invalid: z.string().optional().describe("why it cannot be followed: an unknown tool, or arguments that are no JSON"),
});
export type ToolCall = z.output<typeof toolCall>;

const message = z.discriminatedUnion("role", [
  z.strictObject({ role: z.literal("user"), content: z.string() }),
  z.strictObject({
    role: z.literal("assistant"),
    content: z.string().default(""),
    tool_calls: z.array(toolCall).default([]),
    continuation: z.unknown().optional().describe("as an earlier reply gave it: what the provider wants to see again"),
  }),
  z.strictObject({
    role: z.literal("tool"),
    tool_call_id: z.string(),
    name: z.string().describe("of the tool"),
    content: z.unknown().describe("its result, any JSON"),
  }),
]);
export type Message = z.output<typeof message>;

const jsonSchema = z.record(z.string(), z.unknown());

export const generateRequest = z
  .strictObject({
    model: z.string().default("default").describe("a name of the section `models` of reprise.yaml"),
    system: z.string().optional(),
    prompt: z.string().optional().describe("instead of messages: one message of the user"),
    messages: z.array(message).min(1).optional(),
    schema: jsonSchema.optional().describe("JSON Schema that the answer must fit; it is then in `object`"),
    tools: z
      .array(
        z.strictObject({
          name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
          description: z.string().optional(),
          parameters: jsonSchema.describe("JSON Schema"),
        }),
      )
      .max(128)
      .optional(),
    max_tokens: z.number().int().min(1).optional().describe("at most the model's own limit"),
    stream: z.boolean().default(false).describe("tell the answer as it comes, in events model:streamed"),
  })
  .refine(({ prompt, messages }) => (prompt === undefined) !== (messages === undefined), { error: "expected either prompt or messages" });
export type GenerateRequest = z.output<typeof generateRequest>;

const usage = z.object({ input_tokens: z.number(), output_tokens: z.number(), cached_tokens: z.number() });
export type Usage = z.output<typeof usage>;

const spent = {
  model: z.string().describe("the one that answered: it may be a fallback"),
  usage,
  cost: z.number().optional().describe("in dollars; absent = the model has no price"),
  attempts: z.number().describe("requests that were made, the successful one included"),
};

export const generateReply = z.object({
  text: z.string(),
  tool_calls: z.array(toolCall),
  object: z.unknown().optional(),
  finish_reason: z.string(),
  continuation: z.unknown().describe("to be sent back with this turn in later messages"),
  ...spent,
});
export type GenerateReply = z.output<typeof generateReply>;

/** Any text of a selection's features fits in. */
const longestText = 32_768;

export const embedRequest = z.strictObject({
  model: z.string().default("default").describe("a name of the section `models` of reprise.yaml: one that embeds"),
  texts: z
    .array(z.string().min(1).max(longestText))
    .min(1)
    .max(64)
    .describe("each on its own; how much of one counts is the model's to say"),
});
export type EmbedRequest = z.output<typeof embedRequest>;

export const embedReply = z.object({
  vectors: z.array(z.array(z.number())).describe("one a text, in order, all as long"),
  ...spent,
});
export type EmbedReply = z.output<typeof embedReply>;

export const listedModel = z.object({
  name: z.string(),
  provider: z.string(),
  model: z.string(),
  base_url: z.string().optional(),
  fallbacks: z.array(z.string()),
  price: z.object({ input: z.number(), output: z.number(), cached_input: z.number().optional() }).optional(),
  max_tokens: z.number(),
  state: z
    .enum(["ready", "no_key", "resting"])
    .describe("resting: its provider failed several times in a row, and is left alone for a while"),
  needs: z.string().optional().describe("the environment variable that is not set"),
});

export const streamed = z.object({
  id: z.string().describe("of the request; its chunks are counted by index"),
  model: z.string(),
  index: z.number(),
  text: z.string(),
});

export const embedded = z.object({ id: z.string(), texts: z.int(), dimensions: z.int(), ...spent, milliseconds: z.number() });

export const answered = z.object({ id: z.string(), ...spent, milliseconds: z.number(), finish_reason: z.string() });
