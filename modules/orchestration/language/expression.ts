/** An expression of a pattern: read once by the parser, evaluated many times over the state of a run. */
import jsonata from "jsonata";
import { compileDirect, type Direct } from "./direct.ts";
import type { Token } from "./tokens.ts";
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
  if (direct === undefined) assertParses(translation.jsonata, first.start);
  return { ...translation, source: text.slice(first.start, last.end), direct };
}

/** Parses only; evaluation happens where it can be killed. */
function assertParses(expression: string, offset: number): void {
  try {
    jsonata(expression);
  } catch (error) {
    throw new ExpressionProblem((error as { message?: string }).message ?? "not an expression", offset);
  }
}
