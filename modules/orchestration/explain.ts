/** What a pattern will do, read from its text alone: the reply of `orchestration:explain`. */
import { z } from "zod";
import { covers, emitTarget, toolTarget } from "../../daemon/capabilities.ts";
import { type Condition, type Expression, type Field, type Statement, walk } from "./language/ast.ts";
import { type Pattern, problemsOf } from "./pattern.ts";

const place = { line: z.number(), column: z.number() };

export const explanation = z.object({
  logic: z.array(z.string()).describe("the blocks that can be played by name"),
  statements: z.array(z.object({ ...place, kind: z.string(), source: z.string() })),
  judgement_points: z
    .array(z.object({ ...place, text: z.string(), required: z.boolean(), condition: z.literal(true).optional() }))
    .describe("lines and conditions in prose"),
  events: z.array(z.string()).describe("emitted; names that are only known while it runs are shown as they are written"),
  awaits: z.array(z.string()).describe("events and agents that it waits for or listens to"),
  commands: z.array(z.string()),
  tools: z.array(z.string()),
  slots: z.array(z.string()),
  profiles: z.array(z.string()).describe("of the agents that it spawns"),
  patterns: z.array(z.string()).describe("played within it"),
  capabilities: z.array(z.string()).describe("what a player must be allowed to do to play all of it, and the patterns within it"),
  uncovered: z
    .array(z.string())
    .describe("of these, what the pattern's own `capabilities` leave out: there it would fail; add them, or take the statements out"),
  unknown: z.array(z.string()).describe("tools and commands that are not there now"),
  includes: z.array(z.string()).describe("patterns within it that cannot be read now: what they need is not listed"),
  warnings: z.array(z.object({ ...place, message: z.string(), suggestion: z.string().optional() })),
  problems: z.array(z.object({ ...place, message: z.string() })).describe("what keeps it from being played"),
  playable: z.boolean(),
});
export type Explanation = z.output<typeof explanation>;

export function explain(pattern: Pattern): Explanation {
  const { statements } = pattern.strategy;
  const all = [...walk(statements)];
  const named = (read: (statement: Statement) => (Expression | undefined)[]): string[] => [
    ...new Set(all.flatMap((statement) => read(statement).flatMap((expression) => nameIn(expression) ?? []))),
  ];
  const events = named((one) => (one.kind === "emit" ? [one.event] : []));
  const commands = named((one) => (one.kind === "call" || one.kind === "consider" ? [one.command] : []));
  const tools = named((one) => (one.kind === "run" ? [one.tool] : []));
  const problems = problemsOf(pattern);
  return {
    logic: [...pattern.blocks],
    statements: all
      .filter((statement) => statement.kind !== "judgement")
      .map((statement) => ({ ...statement.position, kind: keywordOf(statement), source: statement.source })),
    judgement_points: all.flatMap(judgementsIn),
    events,
    awaits: [...new Set(all.flatMap((one) => (one.kind === "on" ? one.event : one.kind === "await" ? (nameIn(one.what) ?? []) : [])))],
    commands,
    tools,
    slots: [...new Set(all.flatMap((one) => (one.kind === "choose" ? one.slot : [])))],
    profiles: named((one) => (one.kind === "spawn" && one.fields.kind === "pairs" ? [profileIn(one.fields.pairs)] : [])),
    patterns: named((one) => (one.kind === "include" ? [one.pattern] : one.kind === "combine" ? [...one.patterns] : [])),
    capabilities: capabilitiesFor({ events, commands, tools }, statements),
    uncovered: uncoveredBy(pattern, surelyNeeded(pattern)),
    unknown: [],
    includes: [],
    warnings: warningsOf(pattern),
    problems,
    playable: problems.length === 0,
  };
}

/** What is there beside the pattern. */
export interface Surroundings {
  /** Resolves with undefined when there is no such pattern. */
  load(name: string): Promise<Pattern | undefined>;
  /** Names of the tools. */
  tools(): Promise<readonly string[]>;
  isCommand(name: string): boolean;
}

/** Explains a pattern, and counts what the patterns within it need, and those within them. */
export async function explainWhole(pattern: Pattern, { load, tools, isCommand }: Surroundings): Promise<Explanation> {
  const whole = explain(pattern);
  const capabilities = new Set(whole.capabilities);
  const sure = new Set(surelyNeeded(pattern));
  const includes: string[] = [];
  const seen = new Set([pattern.name]);
  const waiting = [...whole.patterns];
  for (const name of waiting) {
    if (seen.has(name)) continue;
    seen.add(name);
    const included = await load(name);
    if (included === undefined) {
      includes.push(name);
      continue;
    }
    const { patterns, capabilities: needed } = explain(included);
    for (const one of needed) capabilities.add(one);
    for (const one of surelyNeeded(included)) sure.add(one);
    waiting.push(...patterns);
  }
  const written = writtenOut(pattern);
  const there = written.tools.length > 0 ? await tools() : [];
  const unknown = [...written.tools.filter((name) => !there.includes(name)), ...written.commands.filter((name) => !isCommand(name))];
  return { ...whole, capabilities: [...capabilities].sort(), uncovered: uncoveredBy(pattern, [...sure].sort()), unknown, includes };
}

interface Names {
  readonly events: readonly string[];
  readonly commands: readonly string[];
  readonly tools: readonly string[];
}

function capabilitiesFor({ events, commands, tools }: Names, statements: readonly Statement[]): string[] {
  const needed = [...walk(statements)].flatMap(({ kind }) => (Object.hasOwn(capabilityOf, kind) ? (capabilityOf[kind] as string) : []));
  return [...new Set([...events.map(emitTarget), ...commands, ...tools.map(toolTarget), ...needed])].sort();
}

/** Names that are written out; those made of variables are known only while it runs. */
function writtenOut({ strategy }: Pattern): Names {
  const all = [...walk(strategy.statements)];
  const names = (read: (statement: Statement) => Expression | undefined): string[] => [
    ...new Set(all.flatMap((statement) => /^"([^"{]*)"$/.exec(read(statement)?.source ?? "")?.[1] ?? [])),
  ];
  return {
    events: names((one) => (one.kind === "emit" ? one.event : undefined)),
    commands: names((one) => (one.kind === "call" || one.kind === "consider" ? one.command : undefined)),
    tools: names((one) => (one.kind === "run" ? one.tool : undefined)),
  };
}

const surelyNeeded = (pattern: Pattern): string[] => capabilitiesFor(writtenOut(pattern), pattern.strategy.statements);

const uncoveredBy = ({ capabilities }: Pattern, needed: readonly string[]): string[] => needed.filter((one) => !covers(capabilities, one));

export const warningsOf = ({ strategy }: Pattern): Explanation["warnings"] =>
  strategy.warnings.map(({ position, ...warning }) => ({ ...position, ...warning }));

/** The command behind a statement of each kind, where it is always the same. */
const capabilityOf: Readonly<Partial<Record<Statement["kind"], string>>> = {
  choose: "policy:select",
  outcome: "policy:outcome",
  track: "composition:track_decision",
  query: "event:query",
  spawn: "agent:spawn",
  send: "agent:send",
  terminate: "agent:terminate",
  ask: "approval:request",
};

function judgementsIn(statement: Statement): Explanation["judgement_points"] {
  const { position } = statement;
  if (statement.kind === "judgement") return [{ ...position, text: statement.text, required: statement.required }];
  return conditionsOf(statement).flatMap((condition) =>
    condition.kind === "prose" ? { ...position, text: condition.text, required: false, condition: true } : [],
  );
}

function conditionsOf(statement: Statement): Condition[] {
  if (statement.kind === "if") return statement.branches.map(({ condition }) => condition);
  return "condition" in statement && statement.condition !== undefined ? [statement.condition] : [];
}

const keywordOf = (statement: Statement): string =>
  statement.kind === "group" || statement.kind === "phase" ? statement.keyword.toLowerCase() : statement.kind;

const profileIn = (fields: readonly Field[]): Expression | undefined => fields.find(({ key }) => key === "profile")?.value;

function nameIn(expression: Expression | undefined): string | undefined {
  return expression?.source.replace(/^["']|["']$/g, "");
}
