/** A condition: an expression, or prose. */
import type { Condition } from "./ast.ts";
import { expression, type Header } from "./header.ts";
import type { Token } from "./tokens.ts";
import { ExpressionProblem } from "./translate.ts";

/** Tells what is doubtful about a line, and where in its text. */
export type Warn = (message: string, offset: number) => void;

export function conditionOf(header: Header, tokens: readonly Token[] | undefined, warn: Warn): Condition {
  try {
    return { kind: "expression", expression: expression(header, tokens) };
  } catch (problem) {
    const [first, last] = [tokens?.[0], tokens?.at(-1)];
    if (!(problem instanceof ExpressionProblem) || first === undefined || last === undefined) throw problem;
    warn(`the condition is prose (${problem.message}): a model decides it, without one it is false`, first.start);
    return { kind: "prose", text: header.text.slice(first.start, last.end) };
  }
}
