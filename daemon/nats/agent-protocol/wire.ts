/**
 * The payloads of the Synadia Agent Protocol 0.3 (github.com/synadia-ai/synadia-agent-sdk-docs). Pure.
 *
 * A prompt is UTF-8 text, or JSON `{prompt, attachments?}`. The answer is a stream of chunks `{type, data}`, first `status: ack`,
 * ended by a message without body and headers.
 */
import { CodedError } from "../../errors.ts";

export const protocolVersion = "0.3";
/** Seconds between heartbeats; an agent counts as alive for three of them. */
export const heartbeatInterval = 30;

export type Chunk =
  | { readonly type: "status"; readonly data: string }
  | { readonly type: "response"; readonly data: string }
  | { readonly type: "query"; readonly data: { readonly id: string; readonly reply_subject: string; readonly prompt: string } };

export const encodeChunk = (chunk: Chunk): string => JSON.stringify(chunk);

/** @returns undefined for a chunk of a kind that we do not know, which is to be passed over. @throws CodedError AGENT_CANNOT_ANSWER */
export function decodeChunk(payload: Uint8Array): Chunk | undefined {
  const chunk = objectIn(payload);
  if (chunk === undefined || typeof chunk.type !== "string") throw malformed("a chunk is no JSON object with a type");
  const { type, data } = chunk;
  switch (type) {
    case "status":
      return { type, data: String(data) };
    case "response": {
      const text = typeof data === "string" ? data : fieldsOf(data).text;
      if (typeof text !== "string") throw malformed("a response has no text");
      return { type, data: text };
    }
    case "query": {
      const { id, reply_subject, prompt } = fieldsOf(data);
      if (typeof id !== "string" || typeof reply_subject !== "string" || typeof prompt !== "string")
        throw malformed("a query lacks a field");
      return { type, data: { id, reply_subject, prompt } };
    }
    default:
      return undefined;
  }
}

/** What is asked, as text. @throws CodedError REQUEST_INVALID for a prompt that we do not take */
export function decodePrompt(payload: Uint8Array): string {
  const envelope = objectIn(payload);
  const prompt = envelope !== undefined && "prompt" in envelope ? envelope.prompt : textIn(payload);
  if (Array.isArray(envelope?.attachments) && envelope.attachments.length > 0) {
    throw new CodedError("REQUEST_INVALID", "Attachments are not taken: this agent says attachments_ok false.", {});
  }
  if (typeof prompt !== "string" || prompt.trim() === "") throw new CodedError("REQUEST_INVALID", "The prompt is missing or empty.", {});
  return prompt;
}

/** Pieces that fit in a message each, also when every character is escaped. */
export const pieces = (text: string): string[] => text.match(/[\s\S]{1,65536}/gu) ?? [];

/** An object, or undefined for anything else. */
export function objectIn(payload: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(textIn(payload));
    return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const utf8 = new TextDecoder();
const textIn = (payload: Uint8Array): string => utf8.decode(payload);

const fieldsOf = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === "object" ? (value as Record<string, unknown>) : {};

const malformed = (what: string) => new CodedError("AGENT_CANNOT_ANSWER", `The agent's answer breaks the protocol: ${what}.`, {});
