/** Cuts a line of a pattern into tokens. Never fails: what fits nothing is a token of kind "unknown". */
export type TokenKind = "word" | "variable" | "string" | "number" | "template" | "regex" | "operator" | "unknown";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Offsets into the text that was cut. */
  readonly start: number;
  readonly end: number;
  /** Number of brackets open around the token; an opening bracket and its closing one have the depth outside. */
  readonly depth: number;
}

const patterns: readonly (readonly [TokenKind, RegExp])[] = [
  ["template", /\{\{[^{}\n]*\}\}/y],
  ["string", /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y],
  ["number", /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:(?:ms|sec|min|s|h|d)\b)?/y],
  ["variable", /\$\$?(?:[A-Za-z_]\w*)?/y],
  ["word", /[A-Za-z_]\w*|`[^`\n]*`/y],
  ["operator", /:=|!=|>=|<=|==|=>|&&|\|\||\*\*|\.\.|~>|\?:|\?\?|[-+*/%=<>&|!?:;,.^@#()[\]{}]/y],
];
const regexLiteral = /\/(?:[^/\\\n]|\\.)+\/[im]*/y;
const blank = /\s+/y;

const opening = new Set(["(", "[", "{"]);
const closing = new Set([")", "]", "}"]);

/** Can an operand end with this token? Tells a division from a regular expression, a grouping from an object. */
export function endsOperand(token: Token | undefined): boolean {
  if (token === undefined) return false;
  return token.kind === "operator" ? closing.has(token.text) : token.kind !== "unknown";
}

export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let depth = 0;
  let offset = 0;
  while (offset < text.length) {
    const space = match(blank, text, offset);
    if (space !== undefined) {
      offset += space.length;
      continue;
    }
    const [kind, found] = read(text, offset, tokens.at(-1));
    if (kind === "operator" && closing.has(found)) depth--;
    tokens.push({ kind, text: found, start: offset, end: offset + found.length, depth });
    if (kind === "operator" && opening.has(found)) depth++;
    offset += found.length;
  }
  return tokens;
}

function read(text: string, offset: number, previous: Token | undefined): [TokenKind, string] {
  if (text[offset] === "/" && !endsOperand(previous)) {
    const literal = match(regexLiteral, text, offset);
    if (literal !== undefined) return ["regex", literal];
  }
  for (const [kind, pattern] of patterns) {
    const found = match(pattern, text, offset);
    if (found !== undefined) return [kind, found];
  }
  return ["unknown", text.slice(offset, offset + 1)];
}

function match(pattern: RegExp, text: string, offset: number): string | undefined {
  pattern.lastIndex = offset;
  return pattern.exec(text)?.[0];
}

/** How many brackets more are opened than closed: at the end (`net`), and at the lowest point on the way (`lowest`, ≤ 0). */
export function bracketBalance(tokens: readonly Token[]): { net: number; lowest: number } {
  let net = 0;
  let lowest = 0;
  for (const { kind, text } of tokens) {
    if (kind !== "operator") continue;
    if (opening.has(text)) net++;
    else if (closing.has(text)) lowest = Math.min(lowest, --net);
  }
  return { net, lowest };
}
