/**
 * Proposes a fork of a pattern in which judgement points that were decided the same way often enough are statements. It reads
 * the decisions that the hybrid interpreter recorded, shows them as evidence, and changes nothing.
 */
import { z } from "zod";
import { CodedError } from "../../../daemon/errors.ts";
import type { ModuleContext } from "../../../daemon/module.ts";
import type { Answer } from "../interpreter/effects.ts";
import { type Condition, type Statement, walk } from "../language/ast.ts";
import { parseStrategy } from "../language/parser.ts";
import type { JudgementContext } from "./judge.ts";

export const crystallizeRequest = z.strictObject({
  pattern: z.string(),
  min_evidence: z.number().int().min(2).max(1000).default(5).describe("decisions at one judgement point that are needed"),
  min_agreement: z.number().gt(0.5).max(1).default(0.9).describe("share of them that must have been decided the same way"),
});
export type CrystallizeRequest = z.output<typeof crystallizeRequest>;

const evidence = z.object({
  line: z.number(),
  text: z.string(),
  about: z.enum(["condition", "guard", "point"]),
  decisions: z.number(),
  agreeing: z.number().describe("of them, decided in the most frequent way"),
  mean_confidence: z.number().optional().describe("of those that agree"),
  ids: z.array(z.string()).describe("the latest of those that agree"),
});

export const crystallizeReply = z.object({
  pattern: z.string(),
  version: z.string(),
  commit: z.string(),
  read: z.number().describe("decisions at judgement points that were read"),
  proposals: z.array(evidence.extend({ statements: z.array(z.string()).describe("in place of the line") })),
  undecided: z.array(evidence).describe("points with too few decisions, or too different ones"),
  fork: z
    .object({ parent: z.string(), name: z.string(), reason: z.string(), modifications: z.record(z.string(), z.string()) })
    .optional()
    .describe("the request of composition:fork that would apply the proposals; absent = there are none"),
});
type Reply = z.output<typeof crystallizeReply>;
type Proposal = Reply["proposals"][number];

interface Decision {
  readonly id: string;
  readonly confidence?: number;
  readonly context?: unknown;
}

/** Latest decisions that are read. */
const mostDecisions = 5000;
const shownIds = 20;

/** @throws CodedError COMPOSITION_NOT_FOUND, PATTERN_INVALID */
export async function crystallize(
  context: ModuleContext,
  { pattern: name, min_evidence, min_agreement }: CrystallizeRequest,
): Promise<Reply> {
  const found = await context.call<{ name: string; version: string; commit: string; data: unknown }>("composition:get", { name });
  const text = (found.data as { orchestration_logic?: { strategy?: unknown } }).orchestration_logic?.strategy;
  if (typeof text !== "string") {
    throw new CodedError("PATTERN_INVALID", `${found.name} has no text of its own in orchestration_logic.strategy.`, {
      pattern: found.name,
    });
  }
  const decisions = await judgementsOf(context, found.name);
  const proposals: Proposal[] = [];
  const undecided: Reply["undecided"] = [];
  for (const point of pointsIn(text)) {
    const here = decisions.filter(({ judgement }) => judgement.text === point.text && judgement.about === point.about);
    if (here.length === 0) continue;
    const agreeing = mostFrequent(here);
    const told = { ...point, decisions: here.length, agreeing: agreeing.length, ...summaryOf(agreeing) };
    const isClear = here.length >= min_evidence && agreeing.length / here.length >= min_agreement;
    const statements = isClear
      ? statementsFor(point, agreeing[0]?.answer ?? {}, lineAt(text, point.line), agreeing.length, here.length)
      : undefined;
    if (statements === undefined) undecided.push(told);
    else proposals.push({ ...told, statements });
  }
  return {
    pattern: found.name,
    version: found.version,
    commit: found.commit,
    read: decisions.length,
    proposals,
    undecided,
    ...(proposals.length > 0 && { fork: forkOf(found.name, applied(text, proposals), proposals) }),
  };
}

type Judged = JudgementContext & Decision;

async function judgementsOf(context: ModuleContext, pattern: string): Promise<Judged[]> {
  const judged: Judged[] = [];
  let cursor: string | undefined;
  do {
    const page: { decisions: Decision[]; cursor?: string } = await context.call("composition:decisions", {
      pattern,
      limit: 1000,
      ...(cursor && { cursor }),
    });
    for (const decision of page.decisions) {
      const about = decision.context as Partial<JudgementContext> | undefined;
      if (about?.judgement !== undefined && about.answer !== undefined) judged.push({ ...decision, ...(about as JudgementContext) });
    }
    cursor = page.cursor;
  } while (cursor !== undefined && judged.length < mostDecisions);
  return judged;
}

type Point = Pick<Proposal, "line" | "text" | "about">;

/** Judgement points and conditions in prose, as the interpreter asks about them. */
function pointsIn(text: string): Point[] {
  return [...walk(parseStrategy(text).statements)].flatMap((statement): Point[] => {
    const { line } = statement.position;
    if (statement.kind === "judgement") return [{ line, text: statement.text, about: statement.guards ? "guard" : "point" }];
    return conditionsOf(statement).flatMap((condition) =>
      condition.kind === "prose" ? [{ line: lineOf(text, condition.text, line), text: condition.text, about: "condition" }] : [],
    );
  });
}

function conditionsOf(statement: Statement): readonly Condition[] {
  if (statement.kind === "if") return statement.branches.map(({ condition }) => condition);
  return "condition" in statement && statement.condition !== undefined ? [statement.condition] : [];
}

/** An ELIF stands below the line of its IF. */
function lineOf(text: string, condition: string, from: number): number {
  const below = text
    .split("\n")
    .slice(from - 1)
    .findIndex((line) => line.includes(condition));
  return from + Math.max(0, below);
}

const lineAt = (text: string, line: number): string => text.split("\n")[line - 1] ?? "";

function mostFrequent(judged: readonly Judged[]): readonly Judged[] {
  const groups = new Map<string, Judged[]>();
  for (const one of judged) {
    const key = JSON.stringify([one.answer.holds, one.answer.set, one.answer.emit]);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()].reduce((most, group) => (group.length > most.length ? group : most), []);
}

function summaryOf(agreeing: readonly Judged[]): { mean_confidence?: number; ids: string[] } {
  const confidences = agreeing.flatMap(({ confidence }) => confidence ?? []);
  const ids = agreeing.slice(0, shownIds).map(({ id }) => id);
  if (confidences.length === 0) return { ids };
  return { ids, mean_confidence: confidences.reduce((sum, one) => sum + one, 0) / confidences.length };
}

/** @returns undefined where the line cannot be written otherwise */
function statementsFor({ text, about }: Point, answer: Answer, line: string, agreeing: number, of: number): string[] | undefined {
  const indent = /^\s*/.exec(line)?.[0] ?? "";
  const was = `${indent}# ${text.replaceAll(/\s+/g, " ")} (decided so ${agreeing} of ${of} times)`;
  const acts = [
    ...Object.entries(answer.set ?? {}).map(([name, value]) => `${indent}STATE ${name} = ${JSON.stringify(value)}`),
    ...(answer.emit ?? []).map(
      ({ event, data }) => `${indent}EMIT ${JSON.stringify(event)}${data === undefined ? "" : ` WITH ${JSON.stringify(data)}`}`,
    ),
  ];
  switch (about) {
    case "point":
      return [was, ...acts];
    case "guard":
      return [was, ...acts, `${indent}IF ${answer.holds === true}:`];
    case "condition":
      // Only its own words are replaced: the line may hold more than the condition.
      return line.includes(text) ? [was, line.replace(text, String(answer.holds === true))] : undefined;
  }
}

/** From the last line up, so that the numbers of those above stay true. */
function applied(text: string, proposals: readonly Proposal[]): string {
  const lines = text.split("\n");
  for (const { line, statements } of [...proposals].sort((left, right) => right.line - left.line)) lines.splice(line - 1, 1, ...statements);
  return lines.join("\n");
}

function forkOf(parent: string, strategy: string, proposals: readonly Proposal[]): NonNullable<Reply["fork"]> {
  const points = proposals.map(({ line, agreeing, decisions }) => `line ${line} (${agreeing} of ${decisions})`).join(", ");
  return {
    parent,
    name: `${parent.slice(0, 50)}_crystallized`,
    reason: `Judgement points that were decided the same way became statements: ${points}.`,
    modifications: { "orchestration_logic.strategy": strategy },
  };
}
