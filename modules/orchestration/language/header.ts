/** The line of a statement, cut at the words that are its clauses. */
import type { Expression, Field, Fields } from "./ast.ts";
import { readExpression } from "./expression.ts";
import type { Token } from "./tokens.ts";
import { ExpressionProblem } from "./translate.ts";

export interface Header {
  readonly text: string;
  /** What follows the keyword, without the colon of a block. */
  readonly tokens: readonly Token[];
  /** Where the line ends, for messages about what is missing. */
  readonly end: number;
  /** The keyword was not in capitals: then the clauses need not be, but prose must not be mistaken for a statement. */
  readonly loose: boolean;
}

export type Clauses = Readonly<Partial<Record<string, readonly Token[]>>> & { readonly subject: readonly Token[] };

/**
 * Cuts the header at the given words, each at most once, in any order, outside of brackets.
 * @param required words that must be there
 */
export function clausesOf(header: Header, optional: readonly string[], required: readonly string[] = []): Clauses {
  const known = [...optional, ...required];
  const found: Record<string, Token[]> & { subject: Token[] } = { subject: [] };
  let current = found.subject;
  for (const token of header.tokens) {
    const word = header.loose ? token.text.toUpperCase() : token.text;
    if (token.kind === "word" && token.depth === 0 && known.includes(word) && !Object.hasOwn(found, word)) {
      current = [];
      found[word] = current;
    } else {
      current.push(token);
    }
  }
  for (const word of required) {
    if (!Object.hasOwn(found, word)) throw new ExpressionProblem(`${word} is missing`, header.end);
  }
  return found;
}

export function expression(header: Header, tokens: readonly Token[] | undefined): Expression {
  if (tokens === undefined || tokens.length === 0) throw new ExpressionProblem("a value is missing", header.end);
  return readExpression(header.text, tokens);
}

export const optionalExpression = (header: Header, tokens: readonly Token[] | undefined): Expression | undefined =>
  tokens === undefined ? undefined : expression(header, tokens);

/** A value in quotes, such as the name of an event. */
export function quoted(header: Header, tokens: readonly Token[]): Expression {
  const [token] = tokens;
  if (tokens.length === 1 && (token?.kind === "string" || token?.kind === "template")) return expression(header, tokens);
  throw new ExpressionProblem("a name in quotes is expected", token?.start ?? header.end);
}

/** "Return home" and "Abort mission" are prose, RETURN home is not. */
export function sober(header: Header, tokens: readonly Token[]): Expression {
  if (header.loose && tokens.every(({ kind }) => kind === "word")) throw new ExpressionProblem("prose", header.end);
  return expression(header, tokens);
}

/** The number of tokens that a dotted path at the start takes: it ends at the first name that no dot follows. */
export function pathLength(tokens: readonly Token[]): number {
  let end = 1;
  while (tokens[end]?.text === "." && tokens[end]?.start === tokens[end - 1]?.end) end += 2;
  return end;
}

/** The name of a variable. */
export function variable(header: Header, tokens: readonly Token[] | undefined): string {
  const [token] = tokens ?? [];
  if (tokens?.length === 1 && token?.kind === "word") return token.text.replaceAll("`", "");
  throw new ExpressionProblem("a name is expected", token?.start ?? header.end);
}

export const optionalVariable = (header: Header, tokens: readonly Token[] | undefined): string | undefined =>
  tokens === undefined ? undefined : variable(header, tokens);

/** `x` or `x.path.below`. */
export function variablePath(header: Header, tokens: readonly Token[]): string[] {
  const fits = tokens.length % 2 === 1 && tokens.every(({ kind, text }, index) => (index % 2 === 0 ? kind === "word" : text === "."));
  if (!fits) throw new ExpressionProblem("a name or a dotted path is expected", tokens[0]?.start ?? header.end);
  return tokens.filter(({ kind }) => kind === "word").map(({ text }) => text.replaceAll("`", ""));
}

/** `target = value`. */
export function equation(header: Header, tokens: readonly Token[]): { path: string[]; value: Expression } {
  const equals = tokens.findIndex(({ text, depth }) => text === "=" && depth === 0);
  if (equals < 0) throw new ExpressionProblem("= is missing", header.end);
  return { path: variablePath(header, tokens.slice(0, equals)), value: expression(header, tokens.slice(equals + 1)) };
}

/** Parts between commas outside of brackets. */
export function byComma(tokens: readonly Token[]): Token[][] {
  const parts: Token[][] = [[]];
  for (const token of tokens) {
    if (token.text === "," && token.depth === 0) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts.filter((part) => part.length > 0);
}

/** `key: e, key: e`, or one object. */
export function fields(header: Header, tokens: readonly Token[]): Fields {
  if (tokens[0]?.text === "{") return { kind: "object", value: expression(header, tokens) };
  const pairs = byComma(tokens).map((part): Field => {
    const [key, colon] = part;
    if (key?.kind !== "word" || colon?.text !== ":") throw new ExpressionProblem("`key: value` is expected", key?.start ?? header.end);
    return { key: key.text, value: expression(header, part.slice(2)) };
  });
  if (pairs.length === 0) throw new ExpressionProblem("`key: value` is expected", header.end);
  return { kind: "pairs", pairs };
}
