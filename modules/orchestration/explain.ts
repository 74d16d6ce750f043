/** What a pattern will do, read from its text alone: the reply of `orchestration:explain`. Pure. */
import { z } from "zod";
import { emitTarget, toolTarget } from "../../daemon/capabilities.ts";
import { type Expression, type Statement, walk } from "./language/ast.ts";
import { type Pattern, problemsOf } from "./pattern.ts";

const place = { line: z.number(), column: z.number() };

export const explanation = z.object({
  statements: z.array(z.object({ ...place, kind: z.string(), source: z.string() })),
  judgement_points: z.array(z.object({ ...place, text: z.string(), required: z.boolean() })),
  events: z.array(z.string()).describe("names that are only known while it runs are shown as they are written"),
  commands: z.array(z.string()),
  tools: z.array(z.string()),
  slots: z.array(z.string()),
  capabilities: z.array(z.string()).describe("what a player must be allowed to do to play all of it"),
  warnings: z.array(z.object({ ...place, message: z.string(), suggestion: z.string().optional() })),
  problems: z
    .array(z.object({ ...place, message: z.string(), statement: z.string().optional() }))
    .describe("what keeps it from being played by the scripted interpreter"),
  playable: z.boolean(),
});
export type Explanation = z.output<typeof explanation>;

export function explain(pattern: Pattern): Explanation {
  const { statements, warnings } = pattern.strategy;
  const all = [...walk(statements)];
  const named = (read: (statement: Statement) => Expression | undefined): string[] => [
    ...new Set(all.flatMap((statement) => nameIn(read(statement)) ?? [])),
  ];
  const events = named((statement) => (statement.kind === "emit" ? statement.event : undefined));
  const commands = named((statement) => (statement.kind === "call" ? statement.command : undefined));
  const tools = named((statement) => (statement.kind === "run" ? statement.tool : undefined));
  const uses = (kind: Statement["kind"], capability: string) => (all.some((statement) => statement.kind === kind) ? [capability] : []);
  const problems = problemsOf(pattern);
  return {
    statements: all
      .filter((statement) => statement.kind !== "judgement")
      .map((statement) => ({ ...statement.position, kind: keywordOf(statement), source: statement.source })),
    judgement_points: all
      .filter((statement) => statement.kind === "judgement")
      .map(({ position, text, required }) => ({ ...position, text, required })),
    events,
    commands,
    tools,
    slots: [...new Set(all.flatMap((statement) => (statement.kind === "choose" ? statement.slot : [])))],
    capabilities: [
      ...events.map(emitTarget),
      ...commands,
      ...tools.map(toolTarget),
      ...uses("choose", "policy:select"),
      ...uses("outcome", "policy:outcome"),
      ...uses("track", "composition:track_decision"),
    ].sort(),
    warnings: warnings.map(({ position, ...warning }) => ({ ...position, ...warning })),
    problems,
    playable: problems.length === 0,
  };
}

const keywordOf = (statement: Statement): string =>
  statement.kind === "unsupported" || statement.kind === "group" ? statement.keyword.toLowerCase() : statement.kind;

function nameIn(expression: Expression | undefined): string | undefined {
  return expression?.source.replace(/^["']|["']$/g, "");
}
