/**
 * A composition as it stands on its own: with what it inherits, its mixins, its components and its variables put in.
 *
 * Nearest wins: the parent, then the mixins in order, then the variables of components, then the composition itself. Maps are
 * merged key by key, everything else is replaced as a whole; null takes a field away.
 */
import { isDeepStrictEqual } from "node:util";
import { stringify } from "yaml";
import { CodedError } from "../../daemon/errors.ts";
import type { CompositionFields } from "./content.ts";
import { type FieldPath, isObject, valueAt } from "./field-path.ts";
import { insertComponents } from "./render-components.ts";
import { insertVariables } from "./render-variables.ts";
import { readYamlOnce } from "./yaml-memory.ts";

/** A file, or a text that was given. */
export interface Source {
  /** Path of the file; undefined for a text. */
  readonly file?: string;
  readonly text: string;
  readonly fields: CompositionFields;
}

export interface Rendered {
  /** YAML; the text itself if there was nothing to put in. */
  readonly content: string;
  readonly data: CompositionFields;
  /** What it was made of, as name@version: itself, then what it names. */
  readonly sources: readonly string[];
}

/** Reads another composition by its name; undefined if there is none. */
export type Load = (name: string) => Promise<Source | undefined>;

const deepestChain = 32;
const mostBytes = 256 * 1024;
/** What a composition does not inherit. */
const ownFields = ["name", "type", "version", "lineage", "performance", "learnings", "extends", "mixins", "components"];
const resolvedFields = ["extends", "mixins", "components"];

export interface RenderOptions {
  /** Take the place of those that the composition sets. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
  /** A `{{name}}` without value and default is an error; else it is left as it stands. */
  readonly isStrict: boolean;
}

/**
 * @throws CodedError COMPOSITION_INVALID with details.file and details.issues
 */
export async function render(root: Source, load: Load, { variables = {}, isStrict }: RenderOptions): Promise<Rendered> {
  const sources: Source[] = [];
  const parts = new Map<string, Part>();
  const known = new Map<string, Fields>();

  async function flatten(source: Source, chain: readonly string[]): Promise<Fields> {
    sources.push(source);
    const { fields } = source;
    const layers: Fields[] = [];
    for (const [position, entry] of (fields.components ?? []).entries()) {
      const { name, variables: given } = typeof entry === "string" ? { name: entry, variables: undefined } : entry;
      const component = await follow(source, ["components", position], name, chain);
      if (!parts.has(name)) parts.set(name, { value: component.content ?? valueAt(component, ["orchestration_logic", "strategy"]) });
      layers.push({ variables: overlay(component.variables ?? {}, given ?? {}) as Record<string, unknown> });
    }
    for (const [position, name] of (fields.mixins ?? []).entries()) {
      layers.splice(position, 0, without(await follow(source, ["mixins", position], name, chain), ownFields));
    }
    const [parent, ...others] = [fields.extends ?? []].flat();
    if (others.length > 0) throw invalidAt(source, ["extends"], "names several parents; it takes one, and any number of mixins");
    if (parent !== undefined) layers.unshift(without(await follow(source, ["extends"], parent, chain, fields.type), ownFields));
    return [...layers, without(fields, resolvedFields)].reduce((below, above) => overlay(below, above) as Fields, {});
  }

  async function follow(from: Source, path: FieldPath, name: string, chain: readonly string[], type?: string): Promise<Fields> {
    const longer = [...chain, name];
    if (chain.includes(name)) throw invalidAt(from, path, `leads back to itself: ${longer.join(" → ")}`);
    if (longer.length > deepestChain + 1)
      throw invalidAt(from, path, `leads further than ${deepestChain} compositions: ${longer.join(" → ")}`);
    const done = known.get(name);
    if (done) return done;
    const source = await load(name).catch((error: unknown) => {
      if (!(error instanceof CodedError) || error.code !== "COMPOSITION_INVALID") throw error;
      throw invalidAt(from, path, `${name} is invalid: ${error.message}`, error);
    });
    if (!source) throw invalidAt(from, path, `there is no composition ${name}`);
    if (type !== undefined && source.fields.type !== type)
      throw invalidAt(from, path, `${name} is of the type ${source.fields.type}, not ${type}`);
    const fields = await flatten(source, longer);
    known.set(name, fields);
    return fields;
  }

  /** Points to the nearest text in which the field stands. */
  const fail = (path: FieldPath, message: string, lines = 0): CodedError => {
    const source = sources.find(({ fields }) => valueAt(fields, path) !== undefined) ?? root;
    return invalidAt(source, path, message, undefined, lines);
  };

  const flat = await flatten(root, [root.fields.name]);
  const withVariables = {
    ...flat,
    ...((flat.variables || Object.keys(variables).length > 0) && { variables: { ...flat.variables, ...variables } }),
  };
  const whole = insertComponents(withVariables, parts, { fail, mostBytes }) as Fields;
  const data = insertVariables(whole, fail, isStrict) as CompositionFields;
  const content = isDeepStrictEqual(data, root.fields) ? root.text : stringify(data, { lineWidth: 0, aliasDuplicateObjects: false });
  if (Buffer.byteLength(content) > mostBytes) throw fail([], "is larger than 256 KB when rendered");
  return { content, data, sources: sources.map(({ fields }) => `${fields.name}@${fields.version}`) };
}

type Fields = Readonly<Record<string, unknown>> & Partial<CompositionFields>;

/** What a component puts in the place of `{{component:name}}`; undefined if it has nothing of that kind. */
export interface Part {
  readonly value: unknown;
}

/** Says what is wrong at a field; `lines` further down where the field is a text of many lines. */
export type Fail = (path: FieldPath, message: string, lines?: number) => CodedError;

const without = (fields: Fields, keys: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([key]) => !keys.includes(key)));

function overlay(below: unknown, above: unknown): unknown {
  if (!isObject(above)) return above;
  const fields: Record<string, unknown> = isObject(below) ? { ...below } : {};
  for (const [key, value] of Object.entries(above)) {
    if (value === null && key in fields) delete fields[key];
    else fields[key] = overlay(fields[key], value);
  }
  return fields;
}

function invalidAt({ file, text }: Source, path: FieldPath, message: string, cause?: unknown, lines = 0): CodedError {
  const { line: start, column: from } = readYamlOnce(text).locate(path);
  // The lines of a block begin below its header.
  const isBlock = /^[|>]/.test(text.split("\n")[start - 1]?.slice(from - 1) ?? "");
  const [line, column] = lines > 0 || isBlock ? [start + lines + (isBlock ? 1 : 0), 1] : [start, from];
  const field = path.map(String).join(".");
  const where = `${file ? `${file}, ` : ""}line ${line}, column ${column}: ${field ? `${field}: ` : ""}${message}`;
  return new CodedError(
    "COMPOSITION_INVALID",
    where,
    { ...(file && { file }), issues: [{ message, line, column, path: field }] },
    { cause },
  );
}
