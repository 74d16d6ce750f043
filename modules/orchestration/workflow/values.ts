/** Values of a workflow as text of the pattern language: a text that begins with "=" is an expression, anything else is data. */
import { readExpression } from "../language/expression.ts";
import { parseStrategy } from "../language/parser.ts";
import { endsOperand, type Token, tokenize } from "../language/tokens.ts";
import { ExpressionProblem } from "../language/translate.ts";

type Path = readonly PropertyKey[];

export interface PlacedExpression {
  readonly path: Path;
  /** As written, without the "=". */
  readonly source: string;
}

const isExpression = (value: unknown): value is string => typeof value === "string" && value.startsWith("=");

/** All expressions in a value, at any depth. */
export function* expressionsIn(value: unknown, path: Path): Generator<PlacedExpression> {
  if (isExpression(value)) yield { path, source: value.slice(1) };
  else if (value !== null && typeof value === "object") {
    const isList = Array.isArray(value);
    for (const [key, item] of Object.entries(value)) yield* expressionsIn(item, [...path, isList ? Number(key) : key]);
  }
}

/** What makes the language evaluate to this value. */
export const valueText = (value: unknown): string =>
  textOf(value, (text) => (isExpression(text) ? expressionText(text.slice(1)) : literal(text)));

/** The same of what is data throughout. */
export const dataText = (value: unknown): string => textOf(value, literal);

function textOf(value: unknown, ofText: (text: string) => string): string {
  if (typeof value === "string") return ofText(value);
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, ofText)).join(", ")}]`;
  if (value === null || typeof value !== "object") return literal(value);
  const keyOf = (key: string) => (/^[A-Za-z_]\w*$/.test(key) ? key : literal(key));
  return `{${Object.entries(value)
    .map(([key, item]) => `${keyOf(key)}: ${textOf(item, ofText)}`)
    .join(", ")}}`;
}

/** In a text of the language {{…}} would be filled in. */
export const literal = (value: unknown): string => (JSON.stringify(value) ?? "null").replaceAll("{{", "{\\u007b");

/** On one line, as a text of the language may have it. */
export const expressionText = (source: string): string => source.trim().replace(/\s*[\r\n\t]\s*/g, " ");

/** @returns why it cannot stand in a text of the language; undefined if it can */
export function problemOf(source: string): string | undefined {
  const text = expressionText(source);
  try {
    readExpression(text, tokenize(text));
  } catch (problem) {
    if (problem instanceof ExpressionProblem) return `cannot be read: ${problem.message}`;
    throw problem;
  }
  const line = `RETURN (${text})`;
  const isWhole = parseStrategy(line).statements[0]?.source === line;
  return isWhole ? undefined : "cannot be read: # after a blank begins a comment";
}

/**
 * The variables that it reads; none where a name might as well be that of a field, as in a list's filter, or where anything might
 * be read.
 */
export function surelyRead(source: string): readonly string[] {
  const text = expressionText(source);
  const tokens = tokenize(text);
  if (tokens.some((_, index) => looksInside(tokens, index))) return [];
  return readExpression(text, tokens).reads ?? [];
}

const elementFunctions = new Set(["FILTER", "EXTRACT", "SELECT_MAX", "SELECT_MIN", "GROUP_BY", "function"]);

/** Are there names behind this token that are read inside an element, or in a text? */
function looksInside(tokens: readonly Token[], index: number): boolean {
  const { kind, text } = tokens[index] as Token;
  const [before, after] = [tokens[index - 1], tokens[index + 1]];
  if (kind === "template" || kind === "string") return text.includes("{{");
  if (kind === "word") return after?.text === "(" && elementFunctions.has(text);
  if (["^", "@", "#"].includes(text)) return true;
  if (text === "(") return before?.text === ".";
  if (text !== "[" && text !== "{") return false;
  const isPosition = text === "[" && after?.kind === "number" && tokens[index + 2]?.text === "]";
  const followsValue = before?.text === "." || (endsOperand(before) && !/^(and|or|in)$/i.test(before?.text ?? ""));
  return followsValue && !isPosition;
}
