/** Answers that have to fit a JSON Schema: checked, with one chance to mend them. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Message } from "./schema.ts";

/** The value of an answer, or what is wrong with it. */
export interface Reading {
  readonly object?: unknown;
  readonly problem?: string;
}

/** Checks an answer's text. */
export interface Shape {
  read(text: string): Reading;
}

/** @throws CodedError REQUEST_INVALID for a schema that cannot be checked */
export function shapeOf(schema: Readonly<Record<string, unknown>>): Shape {
  const type = toType(schema);
  return {
    read(text) {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (error) {
        return { problem: `it is not JSON: ${(error as Error).message}` };
      }
      const parsed = type.safeParse(value);
      return parsed.success ? { object: value } : { problem: z.prettifyError(parsed.error) };
    },
  };
}

function toType(schema: Readonly<Record<string, unknown>>): z.ZodType {
  try {
    return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
  } catch (cause) {
    const message = `The schema cannot be used: ${cause instanceof Error ? cause.message : cause}`;
    throw new CodedError("REQUEST_INVALID", message, { path: "schema" }, { cause });
  }
}

/** What to say to get a better answer. */
export const mending = (text: string, problem: string): Message[] => [
  { role: "assistant", content: text, tool_calls: [] },
  { role: "user", content: `Your answer does not fit the schema:\n${problem}\nAnswer again, with JSON alone that fits it.` },
];

/** @param spent what it took all the same */
export const unfit = (model: string, problem: string, text: string, spent: object): CodedError =>
  new CodedError("MODEL_ANSWER_INVALID", `The answer of ${model} does not fit the schema, also after it was told so: ${problem}`, {
    model,
    answer: text.slice(0, 2000),
    ...spent,
  });
