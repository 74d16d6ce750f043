/** Values as YAML that fits into a text which is already there. Pure. */
import { Document, isScalar, type Scalar, type ToStringOptions, visit } from "yaml";
import { isBlockScalar, isCollection } from "./yaml-layout.ts";

const longestLine = 140;

/** A map of one key or a list of one entry, as block, without a newline at the end. */
export const renderEntry = (entry: unknown): string => render(entry, {}).replace(/\n$/, "");

/** Within `[…]` or `{…}`. */
export const renderInFlow = (value: unknown): string =>
  render([value], { collectionStyle: "flow", flowCollectionPadding: false }).trim().slice(1, -1);

function render(value: unknown, style: ToStringOptions): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar(_, node) {
      const { value: text } = node;
      if (typeof text !== "string" || !text.includes("\n")) return;
      // In brackets there are no blocks; and as a block, blank lines at the end would run into those of the text around it.
      if (style.collectionStyle === "flow" || text.endsWith("\n\n")) node.type = "QUOTE_DOUBLE";
    },
  });
  return document.toString({ ...style, lineWidth: 0, doubleQuotedMinMultiLineLength: Number.MAX_SAFE_INTEGER });
}

/** Moves all lines to the right, or to the left by a negative number of columns. */
export function shift(text: string, columns: number): string {
  if (columns === 0) return text;
  if (columns > 0) return text.replaceAll(/^(?=[^\n])/gm, " ".repeat(columns));
  return text.replaceAll(new RegExp(`^ {0,${-columns}}`, "gm"), "");
}

/**
 * What stands behind the `key:` or `-` of an entry at a column, in the style of the value that it replaces; no newline at the end.
 * @param text the one in which the old value stands
 */
export function renderLike(old: unknown, text: string, value: unknown, column: number, isInList: boolean): string {
  const inStyle = typeof value === "string" ? renderText(old, text, value) : renderCollection(old, value, column);
  if (inStyle !== undefined) return ` ${inStyle}`;
  const rendered = isInList ? renderEntry([value]).slice(1) : renderEntry({ k: value }).slice(2);
  const [first = "", ...others] = rendered.split("\n");
  return [first, ...(others.length > 0 ? [shift(others.join("\n"), column)] : [])].join("\n");
}

function renderText(old: unknown, text: string, value: string): string | undefined {
  if (!value.includes("\n")) {
    const type = isScalar(old) ? old.type : undefined;
    if (type === "QUOTE_DOUBLE") return JSON.stringify(value);
    return type === "QUOTE_SINGLE" ? `'${value.replaceAll("'", "''")}'` : undefined;
  }
  if (!isBlockScalar(old) || old.type !== "BLOCK_LITERAL") return undefined;
  const source = text.slice(...(((old as Scalar).range ?? [0, 0]).slice(0, 2) as [number, number]));
  const margin = /^\|[-+]?[^\n]*\n(?:[ \t]*\n)*( +)\S/.exec(source)?.[1];
  const ending = /\n*$/.exec(value)?.[0].length ?? 0;
  const lines = value.slice(0, value.length - ending).split("\n");
  // A first line that is indented would need an indentation indicator.
  if (margin === undefined || ending > 1 || /^\s/.test(lines.find((line) => line !== "") ?? " ")) return undefined;
  const header = source.slice(0, source.indexOf("\n")).replace(/^\|[-+]?/, ending === 0 ? "|-" : "|");
  const content = lines.map((line) => (line === "" ? "" : margin + line)).join("\n");
  return `${header}\n${content}`;
}

/** A list or map in brackets stays so, if it fits on a line. */
function renderCollection(old: unknown, value: unknown, column: number): string | undefined {
  if (!isCollection(old) || !old.flow || typeof value !== "object" || value === null) return undefined;
  const inFlow = renderInFlow(value);
  return inFlow.length + column > longestLine || inFlow.includes("\n") ? undefined : inFlow;
}
