/** Paths of fields as people write them: `a.b[2].c`, also `a.b.2.c`; a key with a dot stands in quotes: `a["b.c"]`. Pure. */
import { CodedError } from "../../daemon/errors.ts";

export type FieldPath = readonly (string | number)[];

const partGrammar = /(?:^|(?<!^)\.)([^.[\]"\s][^.[\]"]*)|\[(\d{1,6})\]|\[("(?:[^"\\]|\\.)+")\]/y;

/** @throws CodedError REQUEST_INVALID */
export function parsePath(text: string): FieldPath {
  const parts: (string | number)[] = [];
  const grammar = new RegExp(partGrammar);
  while (grammar.lastIndex < text.length) {
    const [, word, index, quoted] = grammar.exec(text) ?? [];
    const part = word ?? (index === undefined ? quoted && readQuoted(quoted) : Number(index));
    if (part === undefined || part === "" || part === "__proto__")
      throw badPath(text, `"${text}" is not a path of a field, such as a.b[2].c`);
    parts.push(part);
  }
  if (parts.length === 0) throw badPath(text, "the path of a field must not be empty");
  return parts;
}

export function isPath(text: string): boolean {
  try {
    return parsePath(text).length > 0;
  } catch {
    return false;
  }
}

export const formatPath = (path: FieldPath): string =>
  path.map((part, position) => (typeof part === "number" ? `[${part}]` : formatKey(part, position))).join("");

function formatKey(key: string, position: number): string {
  const isPlain = /^[^.[\]"\s][^.[\]"]*$/.test(key) && !/^\d+$/.test(key);
  return isPlain ? `${position > 0 ? "." : ""}${key}` : `[${JSON.stringify(key)}]`;
}

function readQuoted(text: string): string | undefined {
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

/** Is it the same place, or one above? A number and its digits are the same. */
export const isPrefix = (prefix: FieldPath, path: FieldPath): boolean =>
  prefix.length <= path.length && prefix.every((part, position) => String(part) === String(path[position]));

/** The value at a path; undefined where there is none. */
export function valueAt(data: unknown, path: FieldPath): unknown {
  let value = data;
  for (const part of path) {
    if (Array.isArray(value)) value = /^\d+$/.test(String(part)) ? value[Number(part)] : undefined;
    else value = isObject(value) && Object.hasOwn(value, part) ? value[part] : undefined;
  }
  return value;
}

/**
 * A copy with another value at a path (undefined: without the field). Maps on the way are made; a list can be changed within
 * its length, or grow by one.
 * @throws CodedError REQUEST_INVALID when the path leads through something that has no parts
 */
export function withValue(data: unknown, path: FieldPath, value: unknown, whole: FieldPath = path): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  if (Array.isArray(data)) {
    const index = /^\d+$/.test(String(part)) ? Number(part) : Number.NaN;
    const end = value === undefined || rest.length > 0 ? data.length - 1 : data.length;
    if (!(index <= end)) throw badPath(formatPath(whole), `${formatPath(whole)}: the list has ${data.length} entries, no ${part}`);
    if (value === undefined && rest.length === 0) return data.toSpliced(index, 1);
    return index === data.length ? [...data, value] : data.with(index, withValue(data[index], rest, value, whole));
  }
  if (data !== undefined && data !== null && !isObject(data)) {
    throw badPath(formatPath(whole), `${formatPath(whole)}: there is no ${part} in a ${typeof data}`);
  }
  const fields = { ...(data as Record<string, unknown> | null | undefined) };
  if (value === undefined && (rest.length === 0 || fields[part] === undefined)) delete fields[part];
  else fields[part] = withValue(fields[part], rest, value, whole);
  return fields;
}

export const isObject = (value: unknown): value is Record<string | number, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const badPath = (path: string, message: string): CodedError =>
  new CodedError("REQUEST_INVALID", message, { issues: [{ message, path: [path] }] });
