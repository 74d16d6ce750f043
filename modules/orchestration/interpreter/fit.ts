/** Values of expressions, checked to be what a statement needs. Each throws CodedError EXPRESSION_FAILED with the line. */
import { CodedError } from "../../../daemon/errors.ts";
import type { Fields } from "../language/ast.ts";
import type { Place } from "./place.ts";

export function text(value: unknown, what: string, line: number): string {
  if (typeof value === "string" && value !== "") return value;
  throw unfit(`Line ${line} needs ${what}.`, line);
}

export function wholeNumber(value: unknown, what: string, line: number): number {
  if (Number.isInteger(value)) return value as number;
  throw unfit(`Line ${line} needs a whole number after ${what}.`, line);
}

export function seconds(value: unknown, what: string, line: number): number | undefined {
  if (value === undefined || (typeof value === "number" && value >= 0)) return value;
  throw unfit(`Line ${line} needs a duration such as 30s after ${what}.`, line);
}

export function object(value: unknown, what: string, line: number): Record<string, unknown> {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  throw unfit(`Line ${line} needs ${what}.`, line);
}

/** The value of `key: e, key: e`, or of an object. */
export async function objectOf(fields: Fields, at: Place): Promise<Record<string, unknown>> {
  if (fields.kind === "object") return object(await at.value(fields.value), "an object", at.line);
  const result: Record<string, unknown> = {};
  for (const { key, value } of fields.pairs) result[key] = await at.value(value);
  return result;
}

/** Ids of agents: what SPAWN gave, ids, or a list of these. */
export function agentsIn(value: unknown, line: number): string[] {
  const agents = [value].flat().flatMap((one) => agentIn(one) ?? []);
  if (agents.length === 0 || [value].flat().some((one) => agentIn(one) === undefined)) throw unfit(`Line ${line} needs an agent.`, line);
  return agents;
}

function agentIn(value: unknown): string | undefined {
  const id = value !== null && typeof value === "object" ? (value as { agent_id?: unknown }).agent_id : value;
  return typeof id === "string" && id !== "" ? id : undefined;
}

export const listOf = (value: unknown): unknown[] => (value === undefined ? [] : Array.isArray(value) ? value : [value]);

export const unfit = (message: string, line: number) => new CodedError("EXPRESSION_FAILED", message, { line });
