/** An expression of a pattern: read once by the parser, evaluated many times over the state of a run. */
import jsonata from "jsonata";
import { compileDirect, type Direct } from "./direct.ts";
import { bracketBalance, type Token } from "./tokens.ts";
import { ExpressionProblem, type Translation, translate } from "./translate.ts";

export interface Expression extends Translation {
  /** As written. */
  readonly source: string;
  /** Evaluates it without the engine, where it is simple enough. */
  readonly direct?: Direct;
}

/** Deeper nesting could exhaust the stack of whoever parses it. */
const maximumDepth = 100;

/**
 * @param text the line that the tokens were cut from
 * @throws ExpressionProblem when it is no expression, so prose
 */
export function readExpression(text: string, tokens: readonly Token[]): Expression {
  const first = tokens[0];
  const last = tokens.at(-1);
  if (first === undefined || last === undefined) throw new ExpressionProblem("an expression is missing", text.length);
  const deepest = tokens.find(({ depth }) => depth > first.depth + maximumDepth);
  if (deepest !== undefined) throw new ExpressionProblem(`brackets are nested deeper than ${maximumDepth}`, deepest.start);
  const translation = translate(tokens);
  const direct = compileDirect(tokens);
  if (direct === undefined) assertParses(translation.jsonata, tokens, first.start);
  return { ...translation, source: text.slice(first.start, last.end), direct };
}

/** Expressions whose check waits for the others of the same text. */
let unchecked: string[] | undefined;

/**
 * Reads a whole text. Most of what a check costs is to set the engine's parser up, so all expressions are checked at once; when
 * one of them does not parse, the text is read again with a check of each.
 */
export function checkedTogether<Result>(read: () => Result): Result {
  const together: string[] = [];
  unchecked = together;
  try {
    const result = read();
    if (together.length === 0 || parses(`[${together.join(", ")}]`)) return result;
  } finally {
    unchecked = undefined;
  }
  return read();
}

function assertParses(expression: string, tokens: readonly Token[], offset: number): void {
  if (unchecked !== undefined && standsAlone(tokens)) {
    unchecked.push(`(${expression})`);
    return;
  }
  const problem = problemOf(expression);
  if (problem !== undefined) throw new ExpressionProblem(problem, offset);
}

/** In brackets it parses only if it parses without, whatever stands beside it. Prose, which parses in neither, is left out. */
function standsAlone(tokens: readonly Token[]): boolean {
  if (tokens.some((token, index) => isPlainWord(token) && isPlainWord(tokens[index + 1]))) return false;
  const { net, lowest } = bracketBalance(tokens);
  return net === 0 && lowest === 0 && tokens.every(({ text }) => text !== ";" && !text.includes("{{"));
}

const isPlainWord = (token: Token | undefined): boolean => token?.kind === "word" && !/^(and|or|in|not)$/i.test(token.text);

const parses = (expression: string): boolean => problemOf(expression) === undefined;

/** Parses only; evaluation happens where it can be killed. */
function problemOf(expression: string): string | undefined {
  try {
    jsonata(expression);
    return undefined;
  } catch (error) {
    return (error as { message?: string }).message ?? "not an expression";
  }
}
