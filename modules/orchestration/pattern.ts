/** A pattern as a run needs it: its strategy parsed, its fields checked. */
import { CodedError, errorTable } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { readYaml } from "../../daemon/yaml.ts";
import type { Strategy } from "./language/ast.ts";
import { parseStrategy } from "./language/parser.ts";
import { workflowText } from "./workflow/workflow.ts";

/** Reply of `composition:render`, as far as it is used here. */
export interface Composition {
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
  /** Of the block of logic that is played. */
  readonly text: string;
  readonly strategy: Strategy;
  /** Names of the blocks that can be played. */
  readonly blocks: readonly string[];
  /** Defaults of the variables; inputs replace them. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** What it asks to be allowed to do; undefined = whatever its player may. */
  readonly capabilities?: readonly string[];
  /** What of it a human has to approve at each use. */
  readonly approval?: readonly string[];
  /** Warnings are errors. */
  readonly strict: boolean;
}

/**
 * @param commit default: the present one
 * @param logic the block of `orchestration_logic` to play; default: strategy
 * @throws CodedError COMPOSITION_NOT_FOUND, PATTERN_INVALID
 */
export async function loadPattern(context: ModuleContext, name: string, commit?: string, logic?: string): Promise<Pattern> {
  return patternFrom(await renderPattern(context, name, commit), logic);
}

/**
 * A pattern by its name, or as YAML.
 * @throws CodedError REQUEST_INVALID, COMPOSITION_NOT_FOUND, COMPOSITION_INVALID, PATTERN_INVALID
 */
export async function givenPattern(context: ModuleContext, given: GivenPattern): Promise<Pattern> {
  const { pattern, content, logic } = given;
  if (pattern !== undefined && content === undefined) return loadPattern(context, pattern, undefined, logic);
  if (pattern === undefined && content !== undefined) return patternOf(content, logic);
  throw new CodedError("REQUEST_INVALID", "expected either pattern or content");
}

/** @returns undefined when there is none of that name, or none that can be read */
export async function findPattern(context: ModuleContext, name: string): Promise<Pattern | undefined> {
  try {
    return await loadPattern(context, name);
  } catch (error) {
    if (error instanceof CodedError && !errorTable[error.code].retryable) return undefined;
    throw error;
  }
}

interface GivenPattern {
  readonly pattern?: string | undefined;
  readonly content?: string | undefined;
  readonly logic?: string | undefined;
}

/** @throws CodedError COMPOSITION_NOT_FOUND */
export function renderPattern(context: ModuleContext, name: string, commit?: string): Promise<Composition> {
  // What stands in {{…}} outside of the strategy may be for other readers: it does not keep the pattern from being played.
  return context.call<Composition>("composition:render", { name, unresolved: "keep", ...(commit && { commit }) });
}

/** @throws CodedError PATTERN_INVALID */
export function patternFrom({ name, type, version, commit, data }: Composition, logic?: string): Pattern {
  if (type === "orchestration") return { ...readPattern(data, logic), name, version, commit };
  throw new CodedError("PATTERN_INVALID", `${name} is a ${type}; a pattern has the type orchestration.`, { name, type });
}

/** @param text YAML of a composition. @throws CodedError COMPOSITION_INVALID, PATTERN_INVALID */
export const patternOf = (text: string, logic?: string): Pattern => readPattern(readYaml(text).data, logic);

function readPattern(data: unknown, name = "strategy"): Pattern {
  const fields = asObject(data) ?? {};
  const logic = logicOf(fields);
  const blocks = Object.keys(logic).filter((key) => typeof logic[key] === "string" && key !== "description");
  if (!blocks.includes(name)) {
    const path = `orchestration_logic.${name}`;
    throw new CodedError("PATTERN_INVALID", `The pattern has no text in ${path}.`, { path, blocks });
  }
  return {
    name: typeof fields.name === "string" ? fields.name : "",
    text: logic[name] as string,
    strategy: parseOnce(logic[name] as string),
    blocks,
    variables: Object.fromEntries(Object.entries(asObject(fields.variables) ?? {}).map(([name, value]) => [name, defaultOf(value)])),
    capabilities: namesIn(fields, "capabilities"),
    approval: namesIn(fields, "approval"),
    strict: logic.strict === true || fields.strict === true,
  };
}

/** The texts of a pattern; a workflow is its strategy. @throws CodedError PATTERN_INVALID */
function logicOf({ name, workflow, orchestration_logic }: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const logic = asObject(orchestration_logic) ?? {};
  if (workflow === undefined) return logic;
  if (logic.strategy === undefined) return { ...logic, strategy: workflowText(workflow, name) };
  const message = "A pattern has either a workflow or orchestration_logic.strategy, and this one has both.";
  throw new CodedError("PATTERN_INVALID", message, { path: "workflow" });
}

function namesIn(fields: Readonly<Record<string, unknown>>, path: string): readonly string[] | undefined {
  const names = fields[path];
  if (names === undefined || (Array.isArray(names) && names.every((one) => typeof one === "string"))) return names;
  throw new CodedError("PATTERN_INVALID", `${path} must be a list of texts.`, { path });
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

/** What keeps the pattern from being played: in a strict one, all that is doubtful. */
export function problemsOf({ strategy, strict }: Pattern): { message: string; line: number; column: number }[] {
  return strict ? strategy.warnings.map(({ message, position }) => ({ message, ...position })) : [];
}

/** @throws CodedError PATTERN_INVALID naming the first problem, before anything runs */
export function assertPlayable(pattern: Pattern): void {
  const problems = problemsOf(pattern);
  const [first] = problems;
  if (first === undefined) return;
  const message = `The pattern ${pattern.name} cannot be played: line ${first.line}, column ${first.column}: ${first.message}.`;
  throw new CodedError("PATTERN_INVALID", message, { ...first, problems });
}
