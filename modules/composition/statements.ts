/** The statements of a strategy's text, without understanding them: lines, and what continues them. Pure. */

export interface Statement {
  /** Where it begins, from 1. */
  readonly line: number;
  /** With its indentation, which says what block it is in. */
  readonly text: string;
}

const longestLine = 2_000;

/**
 * A statement goes on while a bracket is open, and on lines that are indented deeper unless it opens a block with `:`.
 * A comment is a statement of its own; blank lines are none.
 */
export function statementsOf(text: string): Statement[] {
  const statements: { line: number; text: string; indent: number; depth: number; isComment: boolean }[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trimEnd();
    if (line === "") continue;
    const indent = line.search(/\S/);
    const isComment = line[indent] === "#";
    const depth = isComment ? 0 : openBrackets(line);
    const last = statements.at(-1);
    const isInside = last !== undefined && !last.isComment && (last.depth > 0 || (indent > last.indent && !last.text.endsWith(":")));
    if (!isInside || (isComment && last.depth <= 0)) {
      statements.push({ line: index + 1, text: line, indent, depth, isComment });
      continue;
    }
    last.text += `\n${line}`;
    last.depth += depth;
  }
  return statements.map(({ line, text: statement }) => ({ line, text: statement }));
}

/** How many more brackets a line opens than it closes, outside of quotes. */
function openBrackets(line: string): number {
  const code = line.length > longestLine ? "" : line.replaceAll(/"(?:[^"\\]|\\.)*"/g, "");
  return code.replaceAll(/[^([{]/g, "").length - code.replaceAll(/[^)\]}]/g, "").length;
}
