/**
 * Puts values in the place of `{{name}}` and `{{name|default}}`. Pure.
 *
 * Inside `orchestration_logic` a `{{name}}` is the run's, which knows its inputs and its state: only defaults are put in there.
 */
import { type FieldPath, isObject, valueAt } from "./field-path.ts";
import type { Fail } from "./render.ts";

const placeholder = /(\\?)\{\{\s*([A-Za-z_][\w-]*(?:\.[\w-]+)*)\s*(?:\|([^{}]*))?\}\}/g;
/** Where nothing is put in. */
const verbatim = ["name", "type", "version", "lineage", "performance", "learnings", "variables"];

/** @param isStrict whether a name without value and default is an error; else it is left as it stands */
export function insertVariables(data: Readonly<Record<string, unknown>>, fail: Fail, isStrict: boolean): Record<string, unknown> {
  const { variables } = data;
  const valueOfVariable = (name: string): unknown => {
    const [first = "", ...rest] = name.split(".");
    return valueAt(isObject(variables) && Object.hasOwn(variables, first) ? defaultOf(variables[first]) : undefined, rest);
  };

  function insert(value: unknown, path: FieldPath): unknown {
    if (Array.isArray(value)) return value.map((item, index) => insert(item, [...path, index]));
    if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, insert(item, [...path, key])]));
    if (typeof value !== "string" || !value.includes("{{")) return value;
    if (path[0] === "orchestration_logic") return insertDefaults(value);
    const [only] = value.matchAll(placeholder);
    if (only?.[0] === value && !only[1]) return resolve(value, only[2] as string, only[3], path, 0);
    return value.replaceAll(placeholder, (found: string, backslash: string, name: string, fallback: string | undefined, offset: number) => {
      if (backslash) return found.slice(1);
      const resolved = resolve(found, name, fallback, path, value.slice(0, offset).split("\n").length - 1);
      return typeof resolved === "string" ? resolved : JSON.stringify(resolved);
    });
  }

  function resolve(found: string, name: string, fallback: string | undefined, path: FieldPath, lines: number): unknown {
    const value = valueOfVariable(name) ?? fallback?.trim();
    if (value === undefined && isStrict) throw fail(path, `the variable ${name} has no value and no default`, lines);
    return value ?? found;
  }

  const insertDefaults = (text: string): string =>
    text.replaceAll(placeholder, (found: string, backslash: string, name: string, fallback: string | undefined) => {
      if (backslash || fallback === undefined) return found;
      return valueOfVariable(name) === undefined ? fallback.trim() : `{{${name}}}`;
    });

  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, verbatim.includes(key) ? value : insert(value, [key])]));
}

/** A variable is given by its value, or described as `{default, description, …}`. */
const defaultOf = (value: unknown): unknown => (isObject(value) && Object.hasOwn(value, "default") ? value.default : value);
