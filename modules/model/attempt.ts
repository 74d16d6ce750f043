/** One request to one model: streams its answer and collects the whole turn. */
import type { LanguageModelUsage, ModelMessage, ToolSet } from "ai";
import { type Failure, failureOf } from "./failure.ts";
import { keyOf, providerModel } from "./providers.ts";
import type { GenerateRequest, Message, ToolCall, Usage } from "./schema.ts";
import type { ModelSettings } from "./settings.ts";

export interface Turn {
  readonly kind: "turn";
  readonly text: string;
  readonly tool_calls: ToolCall[];
  readonly finish_reason: string;
  readonly continuation: unknown;
  readonly usage: Usage;
}

export interface Attempt {
  readonly settings: ModelSettings;
  readonly request: Omit<GenerateRequest, "prompt" | "messages"> & { readonly messages: readonly Message[] };
  readonly signal: AbortSignal;
  /** Told of each piece of text as it comes. */
  onText(text: string): void;
}

/** No token of a usual text stands for more letters; a server that sends more ignores the limit that it was given. */
const longestToken = 32;
/** Of English text, roughly. */
const lettersPerToken = 4;

/** @throws the reason of the signal */
export async function attempt(options: Attempt): Promise<Turn | Failure> {
  const { settings, request, signal } = options;
  const maximum = Math.min(request.max_tokens ?? settings.max_tokens, settings.max_tokens);
  const timeout = AbortSignal.timeout(settings.timeout * 1000);
  const tooLong = new AbortController();
  try {
    return await ask(options, maximum, tooLong, AbortSignal.any([signal, timeout, tooLong.signal]));
  } catch (error) {
    signal.throwIfAborted();
    if (tooLong.signal.aborted) return { kind: "refused", message: `the answer is much longer than the ${maximum} tokens it may have` };
    if (timeout.aborted) return { kind: "passing", message: `no whole answer within ${settings.timeout} s` };
    return failureOf(error, keyOf(settings).key);
  }
}

async function ask({ settings, request, onText }: Attempt, maximum: number, tooLong: AbortController, signal: AbortSignal): Promise<Turn> {
  const { streamText, Output, jsonSchema, tool } = await import("ai");
  Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false }); // they would go to the console
  const tools: ToolSet = Object.fromEntries(
    (request.tools ?? []).map(({ name, description, parameters }) => [name, tool({ description, inputSchema: jsonSchema(parameters) })]),
  );
  const result = streamText({
    model: await providerModel(settings),
    instructions: instructionsOf(request, settings),
    messages: request.messages.map(toModelMessage),
    maxOutputTokens: maximum,
    maxRetries: 0, // patience.ts decides about that
    abortSignal: signal,
    onError: () => {}, // errors come through the stream
    // Nothing is kept at the provider; schemas may use all that JSON Schema has.
    providerOptions: { openai: { store: false, strictJsonSchema: false } },
    ...(request.tools !== undefined && request.tools.length > 0 && { tools }),
    ...(request.schema !== undefined && { output: Output.object({ schema: jsonSchema(request.schema), name: "answer" }) }),
  });

  let text = "";
  let letters = 0;
  const count = (piece: string) => {
    letters += piece.length;
    if (letters > maximum * longestToken) tooLong.abort();
  };
  const calls: ToolCall[] = [];
  let finish: { reason: string; raw: string | undefined; usage: LanguageModelUsage } | undefined;
  for await (const part of result.stream) {
    switch (part.type) {
      case "text-delta":
        text += part.text;
        onText(part.text);
        count(part.text);
        break;
      case "reasoning-delta":
        count(part.text);
        break;
      case "tool-input-delta":
        count(part.delta);
        break;
      case "tool-call":
        calls.push({
          id: part.toolCallId,
          name: part.toolName,
          arguments: part.input,
          ...(part.invalid && { invalid: reasonOf(part.error) }),
        });
        break;
      case "finish-step":
        finish = { reason: part.finishReason, raw: part.rawFinishReason, usage: part.usage };
        break;
      case "error":
        throw part.error;
    }
  }
  signal.throwIfAborted();
  if (finish === undefined || finish.reason === "interrupted" || (finish.reason === "other" && finish.raw === undefined)) {
    throw new Error("the answer broke off");
  }
  if (finish.reason === "error") throw new Error("the provider reported an error within its answer");
  const turn = (await result.responseMessages).find(({ role }) => role === "assistant");
  return {
    kind: "turn",
    text,
    tool_calls: calls,
    finish_reason: finish.reason,
    continuation: turn?.content ?? "",
    usage: usageOf(finish.usage, { asked: JSON.stringify(request).length, answered: letters }),
  };
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300);

/** Not every server that speaks OpenAI's protocol heeds a schema, so there it stands in the instructions. */
function instructionsOf({ system, schema }: Attempt["request"], { provider }: ModelSettings): string | undefined {
  if (schema === undefined || provider !== "openai_compatible") return system;
  const told = `Answer with JSON alone that fits this JSON Schema:\n${JSON.stringify(schema)}`;
  return system === undefined ? told : `${system}\n\n${told}`;
}

function toModelMessage(message: Message): ModelMessage {
  switch (message.role) {
    case "user":
      return { role: "user", content: message.content };
    case "assistant": {
      const { content, tool_calls, continuation } = message;
      if (continuation !== undefined) return { role: "assistant", content: continuation } as ModelMessage;
      const calls = tool_calls.map(({ id: toolCallId, name: toolName, arguments: input }) => ({
        type: "tool-call" as const,
        toolCallId,
        toolName,
        input: input ?? {},
      }));
      return { role: "assistant", content: [...(content === "" ? [] : [{ type: "text" as const, text: content }]), ...calls] };
    }
    case "tool": {
      const { tool_call_id: toolCallId, name: toolName, content } = message;
      const value = typeof content === "string" ? content : JSON.stringify(content ?? null);
      return { role: "tool", content: [{ type: "tool-result", toolCallId, toolName, output: { type: "text", value } }] };
    }
  }
}

/** What the provider counted; where it tells nothing it is estimated from the number of letters, since limits rest on it. */
function usageOf(
  { inputTokens, outputTokens, inputTokenDetails }: LanguageModelUsage,
  letters: { asked: number; answered: number },
): Usage {
  return {
    input_tokens: inputTokens || Math.ceil(letters.asked / lettersPerToken),
    output_tokens: outputTokens || Math.ceil(letters.answered / lettersPerToken),
    cached_tokens: inputTokenDetails.cacheReadTokens ?? 0,
  };
}
