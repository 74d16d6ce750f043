/** The daemon's configuration: flags over environment over `reprise.yaml`, everything checked, unknown keys refused. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parseDocument } from "yaml";
import type { Module } from "./module.ts";
import { parseInput } from "./parse-input.ts";
import { type SettingName, type SettingValue, settingNames, settings, variableOf } from "./settings.ts";
import { suggest } from "./suggestion.ts";

export interface Config {
  /** Absolute path. */
  readonly data: string;
  readonly nats: { readonly kind: "embedded"; readonly port: number } | { readonly kind: "external"; readonly url: string };
  readonly httpPort: number;
  readonly prefix: string | undefined;
  readonly logLevel: SettingValue<"log-level">;
  /** Absolute path. */
  readonly compositions: string;
  /** Keys of `reprise.yaml` that hold more than a text: each is a module's, which checks it (`Module.settings`). */
  readonly sections: Readonly<Record<string, unknown>>;
}

export type Invocation = { readonly kind: "run"; readonly config: Config } | { readonly kind: "help" } | { readonly kind: "version" };

/** A mistake of the user's; the message is all that one needs. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** What one source says about a setting, and how to name that place to the user. */
interface Given {
  readonly text: string;
  readonly place: string;
}
type Source = Map<SettingName, Given>;

/** Variables in the REPRISE_ namespace that are not settings of the daemon. */
const otherVariables = ["REPRISE_SOAK"];

/**
 * @param argv arguments after the program's name
 * @param cwd where `reprise.yaml` is looked for, and what relative paths are relative to
 * @throws ConfigError naming the key and its source
 */
export function loadConfig(argv: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Invocation {
  const path = join(cwd, "reprise.yaml");
  return resolveConfig(argv, env, existsSync(path) ? readFileSync(path, "utf8") : "", cwd);
}

/** `loadConfig` without the file system: `file` is the text of `reprise.yaml`, "" if there is none. */
export function resolveConfig(argv: readonly string[], env: NodeJS.ProcessEnv, file: string, cwd: string): Invocation {
  const flags = fromArguments(argv);
  if (flags === "help" || flags === "version") return { kind: flags };
  const { source, sections } = fromFile(file);
  const given = [fromEnvironment(env), flags].reduce(overruled, source);

  const url = given.get("nats-url");
  const port = given.get("nats-port");
  if (url && port) throw new ConfigError(`${url.place} and ${port.place} exclude each other: use a server, or have one started.`);

  const natsUrl = read(given, "nats-url");
  const data = resolve(cwd, read(given, "data") ?? ".reprise");
  const config: Config = {
    data,
    nats: natsUrl === undefined ? { kind: "embedded", port: read(given, "nats-port") ?? 4222 } : { kind: "external", url: natsUrl },
    httpPort: read(given, "http-port") ?? 4280,
    prefix: read(given, "prefix"),
    logLevel: read(given, "log-level") ?? "info",
    compositions: resolve(cwd, read(given, "compositions") ?? join(data, "compositions")),
    sections,
  };
  return { kind: "run", config };
}

/** What the stronger source says of the server to use overrules all that the weaker one says of it. */
function overruled(weaker: Source, stronger: Source): Source {
  const saysServer = servers.some((name) => stronger.has(name));
  const kept = [...weaker].filter(([name]) => !(saysServer && servers.includes(name)));
  return new Map([...kept, ...stronger]);
}

const servers: readonly SettingName[] = ["nats-url", "nats-port"];

function read<Name extends SettingName>(given: Source, name: Name): SettingValue<Name> | undefined {
  const entry = given.get(name);
  if (entry === undefined) return undefined;
  const parsed = settings[name].schema.safeParse(entry.text);
  if (parsed.success) return parsed.data as SettingValue<Name>;
  throw new ConfigError(`${entry.place}: "${entry.text}" is not valid, expected ${settings[name].expected}.`);
}

function fromArguments(argv: readonly string[]): Source | "help" | "version" {
  const known = [...settingNames, "help", "version"];
  const options = Object.fromEntries(settingNames.map((name) => [name, { type: "string" as const }]));
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true });
  const source: Source = new Map();
  for (const token of tokens) {
    if (token.kind === "positional") throw new ConfigError(`Unexpected argument "${token.value}".`);
    if (token.kind !== "option") continue;
    const { name, rawName, value } = token;
    if (rawName === "--help" || rawName === "--version") return name as "help" | "version";
    if (!isSetting(name)) throw unknown(`Unknown option ${rawName}`, suggest(name, known), (word) => `--${word}`);
    if (value === undefined || (!token.inlineValue && value.startsWith("--"))) {
      throw new ConfigError(`${rawName} needs a value: ${settings[name].expected}.`);
    }
    source.set(name, { text: value, place: rawName });
  }
  return source;
}

function fromEnvironment(env: NodeJS.ProcessEnv): Source {
  const names = new Map(settingNames.map((name) => [variableOf(name), name]));
  const source: Source = new Map();
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("REPRISE_") || otherVariables.includes(variable) || text === undefined) continue;
    const name = names.get(variable);
    if (name === undefined) throw unknown(`Unknown environment variable ${variable}`, suggest(variable, [...names.keys()]));
    source.set(name, { text, place: variable });
  }
  return source;
}

/** What modules make of the sections is theirs; a key with a plain value can only be a setting. */
function fromFile(text: string): { source: Source; sections: Record<string, unknown> } {
  const document = parseDocument(text, { uniqueKeys: true, stringKeys: true });
  const [error] = document.errors;
  if (error) throw new ConfigError(`reprise.yaml is not valid YAML: ${error.message}`);
  const content: unknown = document.toJS({ maxAliasCount: 0 });
  const source: Source = new Map();
  const sections: [key: string, value: unknown][] = [];
  if (content === null) return { source, sections: {} };
  if (typeof content !== "object" || Array.isArray(content)) throw new ConfigError("reprise.yaml must be a mapping of keys to values.");
  for (const [key, value] of Object.entries(content)) {
    const place = `${key} in reprise.yaml`;
    const isScalar = typeof value === "string" || typeof value === "number";
    if (!isSetting(key)) {
      if (value === null || typeof value !== "object") throw unknown(`Unknown key ${place}`, suggest(key, settingNames));
      sections.push([key, value]);
      continue;
    }
    if (!isScalar) throw new ConfigError(`${place}: ${JSON.stringify(value)} is not valid, expected ${settings[key].expected}.`);
    source.set(key, { text: String(value), place });
  }
  return { source, sections: Object.fromEntries(sections) };
}

/**
 * Hands each section of `reprise.yaml` to the module that declares it, parsed.
 * @returns module name → its settings; undefined for a module without any
 * @throws ConfigError naming a key that no module declares, or the place of a wrong value
 */
export function settingsOfModules(
  sections: Config["sections"],
  modules: readonly Pick<Module, "name" | "settings">[],
): ReadonlyMap<string, unknown> {
  const declared = modules.flatMap(({ settings }) => settings?.key ?? []);
  for (const key of Object.keys(sections)) {
    if (!declared.includes(key)) throw unknown(`Unknown key ${key} in reprise.yaml`, suggest(key, [...settingNames, ...declared]));
  }
  return new Map(
    modules.flatMap(({ name, settings }) => {
      if (settings === undefined) return [];
      const parsed = parseInput(settings.schema, sections[settings.key] ?? {});
      if (parsed.success) return [[name, parsed.data] as const];
      const [problem] = parsed.problems;
      throw new ConfigError(`${[settings.key, ...(problem?.path ?? [])].join(".")} in reprise.yaml: ${problem?.message}.`);
    }),
  );
}

const isSetting = (name: string): name is SettingName => Object.hasOwn(settings, name);

function unknown(problem: string, suggestion: string | undefined, spell = (word: string) => word): ConfigError {
  return new ConfigError(suggestion === undefined ? `${problem}.` : `${problem}; did you mean ${spell(suggestion)}?`);
}
