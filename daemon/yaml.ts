/**
 * Reading YAML that strangers wrote. Pure.
 *
 * The composer is recursive and compares keys pairwise, so a hostile text could exhaust the stack or the clock. Its tokens are
 * therefore counted first, by the lexer, which is neither; only a text within the limits is composed.
 */
import { CST, type Document, isMap, isScalar, isSeq, Lexer, LineCounter, type Node, parseDocument } from "yaml";
import { CodedError } from "./errors.ts";

const maximumBytes = 256 * 1024;
const maximumDepth = 64;
const maximumTokens = 60_000;
const maximumIssues = 20;

export interface YamlIssue {
  readonly message: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** Dotted path of the field. */
  readonly path?: string;
}

export interface YamlText {
  /** For edits that keep comments, order and styles. */
  readonly document: Document;
  /** The same as plain JavaScript values. */
  readonly data: unknown;
  /** Where a field stands, or where its nearest existing parent does. */
  locate(path: readonly PropertyKey[]): { line: number; column: number };
}

/**
 * Reads one YAML document: at most 256 KB and 64 levels, string keys that are unique, no anchors, aliases or tags.
 * @throws CodedError COMPOSITION_INVALID with details.issues
 */
export function readYaml(text: string): YamlText {
  if (Buffer.byteLength(text) > maximumBytes) throw invalidYaml([{ message: "the text is larger than 256 KB", line: 1, column: 1 }]);
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) lines.addNewLine(end + 1);
  const placeOf = (offset: number) => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { line, column: col };
  };
  const at = (message: string, offset: number, path?: string): YamlIssue => ({ message, ...placeOf(offset), ...(path && { path }) });

  const refusal = scanTokens(text);
  if (refusal) throw invalidYaml([at(refusal.message, refusal.offset)]);
  try {
    const document = parseDocument(text, { uniqueKeys: false, stringKeys: true, prettyErrors: false, logLevel: "error", merge: false });
    const issues = document.errors.slice(0, maximumIssues).map((error) => at(error.message, error.pos[0]));
    if (issues.length === 0) issues.push(...findBadKeys(document.contents, [], at));
    if (issues.length > 0) throw invalidYaml(issues);
    return {
      document,
      data: document.toJS({ maxAliasCount: 0 }),
      locate(path) {
        for (let length = path.length; length >= 0; length--) {
          const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
          const range = (node as Node | undefined)?.range;
          if (range) return placeOf(range[0]);
        }
        return { line: 1, column: 1 };
      },
    };
  } catch (cause) {
    if (cause instanceof CodedError) throw cause;
    throw invalidYaml([at(`the text cannot be read: ${(cause as Error).message}`, 0)], cause);
  }
}

export function invalidYaml(issues: readonly YamlIssue[], cause?: unknown): CodedError {
  const [first] = issues;
  const where = first ? `line ${first.line}, column ${first.column}: ${first.path ? `${first.path}: ` : ""}${first.message}` : "";
  return new CodedError("COMPOSITION_INVALID", where, { issues }, { cause });
}

/**
 * One pass over the tokens. Nesting is counted by brackets and by the columns that blocks begin at: a sequence may stand in the
 * column of its parent key, so a text may be twice as deep as counted, far below what the composer can bear.
 */
function scanTokens(text: string): { message: string; offset: number } | undefined {
  const columns: number[] = [];
  let brackets = 0;
  let offset = 0;
  let lineStart = 0;
  let count = 0;
  let isScalarNext = false;
  for (const token of new Lexer().lex(text)) {
    if (++count > maximumTokens) return { message: `the text has more than ${maximumTokens} tokens`, offset };
    const type: CST.TokenType | null = isScalarNext ? "scalar" : CST.tokenType(token);
    isScalarNext = !isScalarNext && type === "scalar";
    if (isScalarNext || type === "doc-mode") continue; // marks without a character of the text
    switch (type) {
      case "flow-error-end":
        brackets = 0;
        continue;
      case "anchor":
      case "alias":
      case "tag":
        return { message: "anchors, aliases and tags are not allowed", offset };
      case "flow-map-start":
      case "flow-seq-start":
        brackets++;
        break;
      case "flow-map-end":
      case "flow-seq-end":
        brackets = Math.max(0, brackets - 1);
        break;
      case "seq-item-ind":
      case "explicit-key-ind":
      case "map-value-ind":
      case "scalar":
      case "single-quoted-scalar":
      case "double-quoted-scalar": {
        if (brackets > 0) break;
        const column = offset - lineStart;
        while ((columns.at(-1) ?? -1) > column) columns.pop();
        if (columns.at(-1) !== column) columns.push(column);
      }
    }
    // A scalar counts as a level of its own, so that a text of 64 collections is still within the limit.
    if (columns.length + brackets > maximumDepth + 1) return { message: `the text is nested deeper than ${maximumDepth} levels`, offset };
    const newline = token.lastIndexOf("\n");
    if (newline >= 0) lineStart = offset + newline + 1;
    offset += token.length;
  }
  return undefined;
}

function* findBadKeys(
  node: unknown,
  path: readonly (string | number)[],
  at: (message: string, offset: number, path: string) => YamlIssue,
): Generator<YamlIssue> {
  if (isSeq(node)) {
    for (const [position, item] of node.items.entries()) yield* findBadKeys(item, [...path, position], at);
  } else if (isMap(node)) {
    const seen = new Set<string>();
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : "";
      const inner = [...path, name];
      const offset = (key as Node | null)?.range?.[0] ?? 0;
      if (seen.has(name)) yield at(`the key "${name}" is given twice`, offset, inner.join("."));
      if (name === "__proto__") yield at('the key "__proto__" is not allowed', offset, inner.join("."));
      seen.add(name);
      yield* findBadKeys(value, inner, at);
    }
  }
}
