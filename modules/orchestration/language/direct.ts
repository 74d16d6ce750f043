/**
 * Evaluates the simple expressions, which are most of them, without the JSONata engine: literals, paths, {{paths}}, texts
 * with {{paths}}, and objects and lists of these. Means exactly what JSONata means (test/unit/expression.test.ts compares).
 */
import { type Token, tokenize } from "./tokens.ts";
import { secondsPerUnit, stringParts } from "./translate.ts";

export type State = Readonly<Record<string, unknown>>;

/** What a direct evaluation answers where only the engine knows, such as a path through a list. */
export const askEngine = Symbol("ask the engine");

export type Direct = (state: State) => unknown;

const constants: Readonly<Record<string, unknown>> = { true: true, false: false, null: null, TRUE: true, FALSE: false, NULL: null };
const reserved = new Set(["and", "or", "in", "AND", "OR", "IN", "NOT", "function"]);

/** @returns undefined when the expression is not simple */
export function compileDirect(tokens: readonly Token[]): Direct | undefined {
  const first = tokens[0];
  const last = tokens.at(-1);
  if (first === undefined || last === undefined) return undefined;
  if (first.text === "{" && last.text === "}" && first.depth === last.depth) return object(tokens);
  if (first.text === "[" && last.text === "]" && first.depth === last.depth) return list(tokens);
  if (first.text === "-" && tokens.length === 2 && tokens[1]?.kind === "number") return negative(tokens[1]);
  if (first.kind === "number") return number(tokens);
  if (first.kind === "word") return constant(tokens) ?? path(tokens);
  if (tokens.length > 1) return undefined;
  if (first.kind === "template") return compileDirect(tokenize(first.text.slice(2, -2)));
  return first.kind === "string" ? text(first) : undefined;
}

function number(tokens: readonly Token[]): Direct | undefined {
  const [, digits, unit] = /^([\d.]+(?:[eE][+-]?\d+)?)([a-z]*)$/.exec(tokens[0]?.text ?? "") ?? [];
  const percent = tokens.length === 2 && tokens[1]?.text === "%" && tokens[1].start === tokens[0]?.end;
  if (tokens.length > 1 && !percent) return undefined;
  const value = percent ? Number(digits) / 100 : unit ? Number(digits) * (secondsPerUnit[unit] as number) : Number(digits);
  return Number.isFinite(value) ? () => value : undefined;
}

function negative(token: Token): Direct | undefined {
  const positive = number([token]);
  return positive && ((state) => -(positive(state) as number));
}

function constant(tokens: readonly Token[]): Direct | undefined {
  const name = tokens[0]?.text ?? "";
  if (tokens.length > 1 || !Object.hasOwn(constants, name)) return undefined;
  const value = constants[name];
  return () => value;
}

function path(tokens: readonly Token[]): Direct | undefined {
  const steps: string[] = [];
  for (const [index, { kind, text }] of tokens.entries()) {
    if (index % 2 === 1 ? text !== "." : kind !== "word" || reserved.has(text) || Object.hasOwn(constants, text)) return undefined;
    if (index % 2 === 0) steps.push(text.replaceAll("`", ""));
  }
  if (tokens.length % 2 === 0) return undefined;
  return (state) => {
    let value: unknown = state;
    for (const step of steps) {
      if (Array.isArray(value)) return askEngine;
      if (value === null || typeof value !== "object" || !Object.hasOwn(value, step)) return undefined;
      value = (value as State)[step];
    }
    return value;
  };
}

function text(token: Token): Direct | undefined {
  const parts: Direct[] = [];
  for (const part of stringParts(token.text.slice(1, -1))) {
    const compiled = part.isTemplate ? compileDirect(tokenize(part.text)) : literal(part.text);
    if (compiled === undefined) return undefined;
    parts.push(compiled);
  }
  return (state) => {
    let joined = "";
    for (const part of parts) {
      const value = part(state);
      if (value !== undefined && typeof value !== "string" && typeof value !== "boolean" && !Number.isInteger(value)) return askEngine;
      joined += value ?? "";
    }
    return joined;
  };
}

function literal(inside: string): Direct | undefined {
  if (inside.includes("\\")) return undefined;
  return () => inside;
}

function object(tokens: readonly Token[]): Direct | undefined {
  const entries: [key: string, value: Direct][] = [];
  for (const entry of between(tokens)) {
    const [key, colon] = entry;
    if (key === undefined || (key.kind !== "word" && (key.kind !== "string" || /[{\\]/.test(key.text)))) return undefined;
    if (entry.length > 1 && colon?.text !== ":") return undefined;
    const value = compileDirect(entry.length === 1 && key.kind === "word" ? entry : entry.slice(2));
    if (value === undefined) return undefined;
    entries.push([key.kind === "word" ? key.text : key.text.slice(1, -1), value]);
  }
  if (new Set(entries.map(([key]) => key)).size < entries.length || entries.some(([key]) => key === "__proto__")) return undefined;
  return (state) => {
    const result: Record<string, unknown> = {};
    for (const [key, compiled] of entries) {
      const value = compiled(state);
      if (value === askEngine) return askEngine;
      if (value !== undefined) result[key] = value;
    }
    return result;
  };
}

function list(tokens: readonly Token[]): Direct | undefined {
  const items: { compiled: Direct; nested: boolean }[] = [];
  for (const item of between(tokens)) {
    const compiled = compileDirect(item);
    if (compiled === undefined) return undefined;
    items.push({ compiled, nested: item[0]?.text === "[" });
  }
  return (state) => {
    const result: unknown[] = [];
    for (const { compiled, nested } of items) {
      const value = compiled(state);
      if (value === askEngine) return askEngine;
      if (Array.isArray(value) && !nested) result.push(...value);
      else if (value !== undefined) result.push(value);
    }
    return result;
  };
}

/** The parts between the outer brackets, cut at their commas; a trailing comma is allowed. */
function between(tokens: readonly Token[]): Token[][] {
  const parts: Token[][] = [[]];
  const depth = (tokens[0] as Token).depth + 1;
  for (const token of tokens.slice(1, -1)) {
    if (token.text === "," && token.depth === depth && token.kind === "operator") parts.push([]);
    else parts.at(-1)?.push(token);
  }
  if (parts.at(-1)?.length === 0) parts.pop();
  return parts;
}
