/** Translates expressions as people write them into JSONata. Pure. */
import { patternFunctions } from "./functions.ts";
import { endsOperand, type Token, tokenize } from "./tokens.ts";

export interface Translation {
  readonly jsonata: string;
  /** Names at the top of the state that it may read; undefined = any. */
  readonly reads?: readonly string[];
  /** Does it ask for the time or for chance? Then a replay must not evaluate it again. */
  readonly volatile: boolean;
}

/** Why an expression cannot be read; the line is then prose. */
export class ExpressionProblem extends Error {
  /** Into the text of the tokens. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

export const secondsPerUnit: Readonly<Record<string, number>> = { ms: 0.001, s: 1, sec: 1, min: 60, h: 3600, d: 86_400 };

const operators: Readonly<Record<string, string>> = { "==": "=", "&&": "and", "||": "or" };
const words: Readonly<Record<string, string>> = { AND: "and", OR: "or", IN: "in", TRUE: "true", FALSE: "false", NULL: "null" };
const infixWords = new Set(["AND", "OR", "IN", "and", "or", "in"]);
const endsNegation = new Set(["AND", "OR", "and", "or", "&&", "||", ",", ";", "?", ":"]);
const volatileFunctions = new Set(["$now", "$millis", "$random", "$shuffle", "$eval"]);
const readsEverything = new Set(["$", "$$", "$eval"]);

/** @throws ExpressionProblem */
export function translate(tokens: readonly Token[]): Translation {
  const reads = new Set<string>();
  let everything = false;
  let volatile = false;

  function range(from: number, to: number): string {
    if (from >= to) throw new ExpressionProblem("an expression is missing", tokens[from]?.start ?? tokens.at(-1)?.end ?? 0);
    const written: string[] = [];
    for (let index = from; index < to; ) index = piece(index, to, written);
    return written.join(" ");
  }

  /** Writes what starts at `index`; returns where to go on. */
  function piece(index: number, to: number, written: string[]): number {
    const token = tokens[index] as Token;
    const previous = index > 0 ? tokens[index - 1] : undefined;
    switch (token.kind) {
      case "unknown":
        throw new ExpressionProblem(`"${token.text}" does not belong in an expression`, token.start);
      case "regex":
        written.push(token.text);
        return index + 1;
      case "template":
        written.push(template(token.text.slice(2, -2), token.start + 2));
        return index + 1;
      case "string":
        written.push(interpolated(token));
        return index + 1;
      case "number":
        return number(token, index, to, written);
      case "variable":
        if (readsEverything.has(token.text)) everything = true;
        if (volatileFunctions.has(token.text)) volatile = true;
        written.push(token.text);
        return index + 1;
      case "word":
        return word(token, index, to, written);
      case "operator":
        return operator(token, previous, index, to, written);
    }
  }

  function number(token: Token, index: number, to: number, written: string[]): number {
    const [, digits, unit] = /^([\d.]+(?:[eE][+-]?\d+)?)([a-z]*)$/.exec(token.text) ?? [];
    const next = tokens[index + 1];
    const percent = index + 1 < to && next?.text === "%" && next.start === token.end && !startsOperand(tokens[index + 2], index + 2 < to);
    if (percent) written.push(String(Number(digits) / 100));
    else written.push(unit ? String(Number(digits) * (secondsPerUnit[unit] as number)) : token.text);
    return index + (percent ? 2 : 1);
  }

  function word(token: Token, index: number, to: number, written: string[]): number {
    const isStep = index > 0 && tokens[index - 1]?.text === ".";
    const calls = index + 1 < to && tokens[index + 1]?.text === "(";
    if (token.text === "NOT" && !isStep) return negation(token, index, to, written);
    if (calls && token.text === "function") return lambda(index, to, written);
    if (calls && !isStep && !infixWords.has(token.text)) return call(token, index, written);
    const replaced = isStep ? undefined : words[token.text];
    if (replaced === undefined && !isStep && !infixWords.has(token.text)) reads.add(token.text.replaceAll("`", ""));
    written.push(replaced ?? token.text);
    return index + 1;
  }

  /** `NOT a = b AND c` negates `a = b`. */
  function negation(token: Token, index: number, to: number, written: string[]): number {
    let end = index + 1;
    while (end < to && !(tokens[end]?.depth === token.depth && endsNegation.has((tokens[end] as Token).text))) end++;
    written.push(`$not(${range(index + 1, end)})`);
    return end;
  }

  function lambda(index: number, to: number, written: string[]): number {
    const parametersEnd = closing(index + 1);
    const body = parametersEnd + 1;
    if (body >= to || tokens[body]?.text !== "{") throw new ExpressionProblem("a function needs a body", (tokens[index] as Token).start);
    const bodyEnd = closing(body);
    const parameters = tokens.slice(index + 1, body).map((token) => token.text);
    written.push("function", ...parameters, "{", range(body + 1, bodyEnd), "}");
    return bodyEnd + 1;
  }

  function call(token: Token, index: number, written: string[]): number {
    const end = closing(index + 1);
    const name = token.text;
    const known = Object.hasOwn(patternFunctions, name) ? patternFunctions[name] : undefined;
    if (known === undefined) throw new ExpressionProblem(`there is no function ${name}`, token.start);
    const spans = split(index + 2, end, ",", token.depth + 1);
    const [list, where] = name === "EXTRACT" && spans[0] !== undefined ? split(...spans[0], "WHERE", token.depth + 1) : [];
    if (list !== undefined) spans[0] = list;
    if (spans.length < known.minimum || spans.length > known.maximum) {
      throw new ExpressionProblem(`${name} takes ${known.minimum} to ${known.maximum} arguments, not ${spans.length}`, token.start);
    }
    const parameters = spans.map((span) => range(...span));
    written.push(known.write(parameters, where && range(...where)));
    return end + 1;
  }

  function operator(token: Token, previous: Token | undefined, index: number, to: number, written: string[]): number {
    const { text } = token;
    const afterOperand = endsOperand(previous) && !infixWords.has(previous?.text ?? "");
    if (text === "!") return negation(token, index, to, written);
    if (text === "{" && !afterOperand) return object(index, written);
    if (text === "(" || text === "[" || text === "{") {
      const end = closing(index);
      if (end > to) throw new ExpressionProblem(`${text} is not closed`, token.start);
      const inner = tokens[end - 1]?.text === "," ? end - 1 : end;
      const close = (tokens[end] as Token).text;
      written.push(text + (index + 1 === end ? "" : range(index + 1, inner)) + close);
      return end + 1;
    }
    if ((text === "*" || text === "**" || text === "%") && !afterOperand) everything = true;
    written.push(operators[text] ?? text);
    return index + 1;
  }

  /** `{a: 1, "b": x, path}`: keys need no quotes, a name alone stands for itself. */
  function object(index: number, written: string[]): number {
    const end = closing(index);
    const entries = split(index + 1, end, ",", (tokens[index] as Token).depth + 1).filter(([from, to]) => from < to);
    written.push(`{${entries.map(([from, to]) => entry(from, to)).join(", ")}}`);
    return end + 1;
  }

  function entry(from: number, to: number): string {
    const first = tokens[from] as Token;
    if (to - from === 1 && first.kind === "word") return `${JSON.stringify(first.text)}: ${range(from, to)}`;
    let colon = from;
    while (colon < to && !(tokens[colon]?.text === ":" && tokens[colon]?.depth === first.depth)) colon++;
    if (colon === to) throw new ExpressionProblem("an entry of an object is `key: value`", first.start);
    const key = tokens.slice(from, colon);
    const bare = key.every(({ kind, text }) => kind === "word" || kind === "number" || text === "-");
    return `${bare ? JSON.stringify(key.map(({ text }) => text).join("")) : range(from, colon)}: ${range(colon + 1, to)}`;
  }

  /** Spans between the separators that stand at this depth. */
  function split(from: number, to: number, separator: string, depth: number): [from: number, to: number][] {
    if (from >= to) return [];
    const spans: [number, number][] = [];
    let start = from;
    for (let index = from; index < to; index++) {
      const token = tokens[index] as Token;
      if (token.text !== separator || token.depth !== depth) continue;
      spans.push([start, index]);
      start = index + 1;
    }
    spans.push([start, to]);
    return spans;
  }

  function closing(open: number): number {
    const { depth, start, text } = tokens[open] as Token;
    const pair = text === "(" ? ")" : text === "[" ? "]" : "}";
    for (let index = open + 1; index < tokens.length; index++) {
      const token = tokens[index] as Token;
      if (token.depth > depth) continue;
      if (token.depth === depth && token.text === pair) return index;
      break;
    }
    throw new ExpressionProblem(`${text} is not closed`, start);
  }

  function template(text: string, offset: number): string {
    const inner = nested(text, offset);
    return `(${inner})`;
  }

  function nested(text: string, offset: number): string {
    try {
      const inner = translate(tokenize(text));
      if (inner.reads === undefined) everything = true;
      for (const name of inner.reads ?? []) reads.add(name);
      volatile ||= inner.volatile;
      return inner.jsonata;
    } catch (error) {
      if (error instanceof ExpressionProblem) throw new ExpressionProblem(error.message, offset + error.offset);
      throw error;
    }
  }

  /** "a {{x}} b" joins its parts with &. */
  function interpolated(token: Token): string {
    if (!token.text.includes("{{")) return token.text;
    const parts = stringParts(token.text.slice(1, -1)).map(({ text, offset, isTemplate }) =>
      isTemplate ? template(text, token.start + 1 + offset) : token.text[0] + text + token.text[0],
    );
    return `(${["''", ...parts].join(" & ")})`;
  }

  const jsonata = range(0, tokens.length);
  return { jsonata, reads: everything ? undefined : [...reads], volatile };
}

/** Cuts the inside of a string literal into plain text and what stands in {{…}}. */
export function stringParts(inside: string): { text: string; offset: number; isTemplate: boolean }[] {
  const parts: { text: string; offset: number; isTemplate: boolean }[] = [];
  let rest = 0;
  for (const match of inside.matchAll(/\{\{([^{}]*)\}\}/g)) {
    if (match.index > rest) parts.push({ text: inside.slice(rest, match.index), offset: rest, isTemplate: false });
    parts.push({ text: match[1] as string, offset: match.index + 2, isTemplate: true });
    rest = match.index + match[0].length;
  }
  if (rest < inside.length) parts.push({ text: inside.slice(rest), offset: rest, isTemplate: false });
  return parts;
}

/** Would a `%` before this token be the remainder of a division? */
function startsOperand(token: Token | undefined, inRange: boolean): boolean {
  if (token === undefined || !inRange) return false;
  if (token.kind === "word") return !infixWords.has(token.text) && !/^[A-Z]+$/.test(token.text);
  return token.kind !== "operator" || token.text === "(";
}
