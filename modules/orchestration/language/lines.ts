/** From the text of a pattern to a tree of lines: comments gone, objects over several lines joined, blocks by indentation. */
import { bracketBalance, type Token, tokenize } from "./tokens.ts";

export interface Position {
  /** 1-based, within the strategy text. */
  readonly line: number;
  readonly column: number;
}

export interface Line {
  /** The physical lines in full, joined by \n; comments are blanked out, so offsets tell columns. */
  readonly text: string;
  readonly tokens: readonly Token[];
  /** Number of the first physical line, 1-based. */
  readonly number: number;
  readonly indent: number;
  /** Lines that are indented deeper. */
  readonly children: readonly Line[];
}

interface Physical {
  readonly text: string;
  readonly tokens: readonly Token[];
}

const tabWidth = 4;
/** A bracket that is not closed within so many lines was not meant to be one. */
const maximumJoined = 400;

/** @param startsStatement may this line's brackets span lines? Prose is never joined. */
export function readLines(source: string, startsStatement: (tokens: readonly Token[]) => boolean): Line[] {
  const physical = source.split(/\r\n|\r|\n/).map((raw): Physical => {
    const text = withoutComment(expandTabs(raw));
    return { text, tokens: tokenize(text) };
  });
  const flat: Line[] = [];
  for (let index = 0; index < physical.length; index++) {
    const { text, tokens } = physical[index] as Physical;
    if (text === "") continue;
    const count = startsStatement(tokens) ? closedWithin(physical, index) : 1;
    const joined = physical.slice(index, index + count).map((line) => line.text);
    const whole = count === 1 ? { text, tokens } : { text: joined.join("\n"), tokens: tokenize(joined.join("\n")) };
    flat.push({ ...whole, number: index + 1, indent: indentOf(text), children: [] });
    index += count - 1;
  }
  return nest(flat);
}

/** Where the offset of a line's text is in the source. */
export function positionIn(line: Line, offset: number): Position {
  const before = line.text.slice(0, offset);
  const newlines = before.split("\n").length - 1;
  return { line: line.number + newlines, column: offset - (before.lastIndexOf("\n") + 1) + 1 };
}

/** Number of lines from `first` on until its brackets are closed; 1 if they never are. */
function closedWithin(physical: readonly Physical[], first: number): number {
  let open = 0;
  for (let count = 1; count <= maximumJoined && first + count <= physical.length; count++) {
    const { net, lowest } = bracketBalance((physical[first + count - 1] as Physical).tokens);
    if (open + lowest < 0) return 1;
    open += net;
    if (open === 0) return count;
  }
  return 1;
}

function nest(flat: readonly Line[]): Line[] {
  const root: Line[] = [];
  const open: { indent: number; children: Line[] }[] = [{ indent: -1, children: root }];
  for (const line of flat) {
    while ((open.at(-1)?.indent ?? -1) >= line.indent) open.pop();
    const children: Line[] = [];
    open.at(-1)?.children.push({ ...line, children });
    open.push({ indent: line.indent, children });
  }
  return root;
}

const indentOf = (text: string): number => text.length - text.trimStart().length;

function expandTabs(text: string): string {
  if (!text.includes("\t")) return text;
  let expanded = "";
  for (const character of text) expanded += character === "\t" ? " ".repeat(tabWidth - (expanded.length % tabWidth)) : character;
  return expanded;
}

/** A comment starts with # at the start of a line or after a blank, outside of quotes; the apostrophe of "don't" is no quote. */
function withoutComment(text: string): string {
  const hash = text.indexOf("#");
  if (hash < 0) return text.trimEnd();
  let quote: string | undefined;
  for (let index = 0; index < text.length; index++) {
    const character = text[index] as string;
    if (quote !== undefined) {
      if (character === "\\") index++;
      else if (character === quote) quote = undefined;
    } else if ((character === '"' || character === "'") && opensQuote(text, index, character)) {
      quote = character;
    } else if (character === "#" && (index === 0 || /\s/.test(text[index - 1] as string))) {
      return text.slice(0, index).trimEnd();
    }
  }
  return text.trimEnd();
}

const opensQuote = (text: string, index: number, quote: string): boolean =>
  !/\w/.test(text[index - 1] ?? " ") && text.indexOf(quote, index + 1) >= 0;
