/** Puts named parts in the place of `{{component:name}}`. Pure. */
import { type FieldPath, isObject } from "./field-path.ts";
import type { Fail, Part } from "./render.ts";

const reference = /\{\{\s*component:\s*([^{}\s]+)\s*\}\}/g;
const ownLine = /^([ \t]*)\{\{\s*component:\s*([^{}\s]+)\s*\}\}[ \t]*$/gm;
const deepestNesting = 32;

/**
 * A reference that is a whole value becomes the part, whatever that is; on a line of its own, the part's lines at that
 * indentation; within a line, its text.
 */
export function insertComponents(
  data: unknown,
  parts: ReadonlyMap<string, Part>,
  { fail, mostBytes }: { fail: Fail; mostBytes: number },
): unknown {
  let bytes = 0;

  function insert(value: unknown, path: FieldPath, chain: readonly string[]): unknown {
    if (Array.isArray(value)) return value.map((item, index) => insert(item, [...path, index], chain));
    if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, insert(item, [...path, key], chain)]));
    if (typeof value !== "string" || !value.includes("{{")) return value;
    const [only] = value.trim().matchAll(reference);
    if (only?.[0] === value.trim()) return partOf(only[1] as string, path, chain);
    const text = value.replaceAll(ownLine, (_, margin: string, name: string, offset: number) =>
      textOf(name, path, chain, linesBefore(value, offset))
        .replace(/\n+$/, "")
        .replaceAll(/^(?=[^\n])/gm, margin),
    );
    return text.replaceAll(reference, (_, name: string, offset: number) => textOf(name, path, chain, linesBefore(text, offset)).trimEnd());
  }

  function partOf(name: string, path: FieldPath, chain: readonly string[], lines = 0): unknown {
    const part = parts.get(name);
    if (part === undefined) throw fail(path, `{{component:${name}}}: ${name} is not among the components`, lines);
    if (part.value === undefined) throw fail(path, `{{component:${name}}}: ${name} has neither content nor a strategy to put in`, lines);
    const longer = [...chain, name];
    if (chain.includes(name)) throw fail(path, `leads back to itself: ${longer.join(" → ")}`, lines);
    if (chain.length >= deepestNesting)
      throw fail(path, `is nested deeper than ${deepestNesting} components: ${longer.join(" → ")}`, lines);
    const value = insert(part.value, path, longer);
    bytes += JSON.stringify(value).length;
    if (bytes > mostBytes) throw fail(path, "the components make it larger than 256 KB", lines);
    return value;
  }

  function textOf(name: string, path: FieldPath, chain: readonly string[], lines: number): string {
    const value = partOf(name, path, chain, lines);
    if (typeof value === "string") return value;
    throw fail(path, `{{component:${name}}} is no text and cannot stand within one`, lines);
  }

  return insert(data, [], []);
}

const linesBefore = (text: string, offset: number): number => text.slice(0, offset).split("\n").length - 1;
