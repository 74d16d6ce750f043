/** A pattern as a run needs it: its strategy parsed, its fields checked. */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { readYaml } from "../../daemon/yaml.ts";
import { type Strategy, walk } from "./language/ast.ts";
import { parseStrategy } from "./language/parser.ts";

/** Reply of `composition:render`, as far as it is used here. */
interface Composition {
  readonly name: string;
  readonly type: string;
  readonly version: string;
  readonly commit: string;
  readonly data: unknown;
}

export interface Pattern {
  readonly name: string;
  readonly version?: string;
  readonly commit?: string;
  readonly strategy: Strategy;
  /** Defaults of the variables; inputs replace them. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** What it asks to be allowed to do; undefined = whatever its player may. */
  readonly capabilities?: readonly string[];
  /** Warnings are errors. */
  readonly strict: boolean;
}

/** @throws CodedError COMPOSITION_NOT_FOUND, PATTERN_INVALID */
export async function loadPattern(context: ModuleContext, name: string, commit?: string): Promise<Pattern> {
  // What stands in {{…}} outside of the strategy may be for other readers: it does not keep the pattern from being played.
  const request = { name, unresolved: "keep", ...(commit && { commit }) };
  const found = await context.call<Composition>("composition:render", request);
  if (found.type !== "orchestration") {
    throw new CodedError("PATTERN_INVALID", `${name} is a ${found.type}; a pattern has the type orchestration.`, {
      name,
      type: found.type,
    });
  }
  return { ...readPattern(found.data), name: found.name, version: found.version, commit: found.commit };
}

/** @param text YAML of a composition. @throws CodedError COMPOSITION_INVALID, PATTERN_INVALID */
export const patternOf = (text: string): Pattern => readPattern(readYaml(text).data);

function readPattern(data: unknown): Pattern {
  const fields = asObject(data) ?? {};
  const logic = asObject(fields.orchestration_logic) ?? {};
  if (typeof logic.strategy !== "string") {
    throw new CodedError("PATTERN_INVALID", "The pattern has no text in orchestration_logic.strategy.", {
      path: "orchestration_logic.strategy",
    });
  }
  const { capabilities } = fields;
  if (capabilities !== undefined && !(Array.isArray(capabilities) && capabilities.every((one) => typeof one === "string"))) {
    throw new CodedError("PATTERN_INVALID", "capabilities must be a list of texts.", { path: "capabilities" });
  }
  return {
    name: typeof fields.name === "string" ? fields.name : "",
    strategy: parseOnce(logic.strategy),
    variables: Object.fromEntries(Object.entries(asObject(fields.variables) ?? {}).map(([name, value]) => [name, defaultOf(value)])),
    capabilities,
    strict: logic.strict === true,
  };
}

/** Text → strategy of the patterns that were used last: most runs play a pattern that another run has just played. */
const parsed = new Map<string, Strategy>();
const parsedPatterns = 100;

function parseOnce(text: string): Strategy {
  const strategy = parsed.get(text) ?? parseStrategy(text);
  parsed.delete(text);
  parsed.set(text, strategy);
  if (parsed.size > parsedPatterns) parsed.delete(parsed.keys().next().value as string);
  return strategy;
}

/** A variable is given by its value, or described as `{default, description, …}`. */
function defaultOf(value: unknown): unknown {
  const described = asObject(value);
  return described !== undefined && Object.hasOwn(described, "default") ? described.default : value;
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
}

/** What keeps the scripted interpreter from playing the pattern. */
export function problemsOf({ strategy, strict }: Pattern): { message: string; line: number; column: number; statement?: string }[] {
  const unsupported = [...walk(strategy.statements)]
    .filter((statement) => statement.kind === "unsupported")
    .map(({ keyword, position }) => ({ message: `${keyword} cannot be played yet`, ...position, statement: keyword }));
  const warnings = strict ? strategy.warnings.map(({ message, position }) => ({ message, ...position })) : [];
  return [...unsupported, ...warnings].sort((left, right) => left.line - right.line);
}

/** @throws CodedError PATTERN_INVALID naming the first problem, before anything runs */
export function assertPlayable(pattern: Pattern): void {
  const problems = problemsOf(pattern);
  const [first] = problems;
  if (first === undefined) return;
  const message = `The pattern ${pattern.name} cannot be played: line ${first.line}, column ${first.column}: ${first.message}.`;
  throw new CodedError("PATTERN_INVALID", message, { ...first, problems });
}
