/** The hybrid interpreter's judgement: a model answers what statements cannot tell, in a typed form, and it is recorded. */
import { z } from "zod";
import { CodedError } from "../../../daemon/errors.ts";
import { createFence } from "../../../daemon/fence.ts";
import type { ModuleContext } from "../../../daemon/module.ts";
import type { Purse } from "../account.ts";
import type { Answer, Effect, Effects, Question } from "../interpreter/effects.ts";
import type { Pattern } from "../pattern.ts";
import { causeOf, type StartedEntry } from "../record.ts";
import type { Claims } from "./claims.ts";
import { profileRule, toldProfile } from "./instructions.ts";
import { openThinker } from "./thinker.ts";

const json = (what: string) => z.string().describe(`${what}, as JSON`);

const verdict = z.strictObject({
  reason: z.string().describe("why, in a sentence or two"),
  decision: z.string().describe("what you decided, in a few words; the same words whenever you decide the same"),
  confidence: z.number().describe("from 0 to 1"),
});
const ruling = verdict.extend({ holds: z.boolean().describe("is it so?") });
const act = verdict.extend({
  set: z.array(z.strictObject({ name: z.string(), value: json("the value") })).describe("variables to set; often none"),
  emit: z
    .array(z.strictObject({ event: z.string().describe("domain:action"), data: json("its data") }))
    .describe("events to emit and commands to call, where the text asks for that"),
});
const guard = act.extend({ holds: z.boolean().describe("is the block below to be played?") });

/** By what is asked. Every field is required and of a simple type, since not every provider takes more. */
const schemas = { condition: ruling, guard, point: act } as const;

/** What a judgement is recorded as, beside its decision. */
export interface JudgementContext {
  readonly judgement: { readonly line: number; readonly text: string; readonly about: Question["about"] };
  readonly answer: Answer;
}

export interface JudgeOptions {
  readonly context: ModuleContext;
  readonly run: StartedEntry;
  readonly pattern: Pattern;
  readonly claims: Claims;
}

/** The effects of a run, with somebody who answers its questions. */
export function withJudge(effects: Effects, options: JudgeOptions): Effects {
  const judge = createJudge(options);
  return {
    ...effects,
    perform(effect, step, signal, purse) {
      if (effect.kind === "judge") return judge.answer(effect, step, signal, purse);
      if (effect.kind === "decide") return judge.record(effect, step, signal);
      return effects.perform(effect, step, signal, purse);
    },
  };
}

function createJudge({ context, run, pattern, claims }: JudgeOptions) {
  const thinker = openThinker(context, run);

  async function answer(question: Question, step: string, signal: AbortSignal, purse: Purse): Promise<Answer> {
    const schema = schemas[question.about];
    const { object } = await thinker.ask({ ...promptOf(question, pattern, run), schema: toSchema(schema) }, step, signal, purse);
    const { decision, reason, confidence, ...said } = schema.parse(object) as z.output<typeof guard>;
    return {
      decision,
      reason,
      confidence: Math.min(1, Math.max(0, confidence)),
      ...("holds" in said && { holds: said.holds }),
      ...(said.set?.length && { set: Object.fromEntries(said.set.map(({ name, value }) => [name, jsonOrText(value)])) }),
      ...(said.emit?.length && { emit: said.emit.map(({ event, data }) => ({ event, data: jsonOrText(data) })) }),
    };
  }

  /** The run records it, as its own: no capability of the agent is needed to be accountable. */
  async function record({ question, answer }: Extract<Effect, { kind: "decide" }>, step: string, signal: AbortSignal): Promise<void> {
    const { decision = "", reason = "", confidence, ...said } = answer;
    const { line, text, about } = question;
    const judged: JudgementContext = { judgement: { line, text, about }, answer: said };
    const who = { run_id: run.run_id, ...(run.agent_id && { agent_id: run.agent_id }) };
    const request = { pattern: run.pattern, decision, reason, confidence, context: judged, ...who };
    try {
      await context.call("composition:track_decision", request, { cause: { ...causeOf(run), id: `${run.run_id}/${step}` }, signal });
    } catch (error) {
      // The pattern was deleted meanwhile; the run goes on, and its journal has the answer.
      if (!(error instanceof CodedError) || error.code !== "COMPOSITION_NOT_FOUND") throw error;
      context.log.warn({ run: run.run_id, step }, "a decision could not be recorded: its pattern is gone");
    }
    const following = said.emit?.map(({ event }) => event);
    await claims.check(`${decision}\n${reason}`, step, following);
  }

  return { answer, record };
}

function promptOf({ about, text, line, required, state }: Question, pattern: Pattern, run: StartedEntry) {
  const fence = createFence();
  const wanted = {
    condition: "Decide whether the condition holds now.",
    guard:
      "Decide whether the block below the line is to be played now; you may also set variables and emit events that the line asks for.",
    point: "Do what the line asks for: decide, and set variables or emit events only where it asks for that.",
  }[about];
  const allowed = run.capabilities === undefined ? "everything" : run.capabilities.join(", ") || "nothing";
  const system = [
    "You are the judgement of a program that plays a pattern: it carries out the statements itself and asks you about what is written in prose.",
    wanted,
    "Claim nothing that you did not do: you act through the fields of your answer alone.",
    `Events and commands that this run may use: ${allowed}. Others are refused.`,
    profileRule,
    fence.rule,
  ].join("\n");
  const content = [
    ...toldProfile(run, fence),
    fence.data("The pattern", pattern.text),
    fence.data("Its variables now", state),
    fence.data(`Line ${line}${required ? ", which needs a decision" : ""}`, text),
  ].join("\n\n");
  return { system, messages: [{ role: "user", content }] as const };
}

function toSchema(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema);
  return rest;
}

/** What is no JSON is the text itself. */
function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
