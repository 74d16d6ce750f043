/** `orchestration:simulate`: plays a pattern by its statements, in memory, without touching anything. */
import { z } from "zod";
import { CodedError, errorTable } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { explanation, warningsOf } from "./explain.ts";
import { play } from "./interpreter/interpreter.ts";
import { type Journal, stepErrorOf } from "./interpreter/journal.ts";
import { defaultLimits, limitExceeded } from "./interpreter/limits.ts";
import type { Doing } from "./interpreter/steps.ts";
import { assertPlayable, givenPattern, loadPattern } from "./pattern.ts";
import { stepError } from "./schema.ts";
import { stubbedEffects } from "./stubs.ts";

const answer = z.union([
  z.strictObject({ error: z.string().refine((code) => Object.hasOwn(errorTable, code), "expected the code of an error") }),
  z.strictObject({ value: z.unknown().describe("what AS would keep") }),
]);

export const simulateRequest = z.strictObject({
  pattern: z.string().optional(),
  content: z.string().optional().describe("YAML of a pattern"),
  inputs: z.record(z.string(), z.unknown()).optional().describe("values of the pattern's variables"),
  answers: z
    .record(z.string(), answer)
    .optional()
    .describe('what statements get, by line ("12"), or by keyword and name ("RUN list_files"); the rest goes well'),
  logic: z.string().optional().describe("name of the block of the pattern's logic; default: strategy"),
});
export type SimulateRequest = z.output<typeof simulateRequest>;

export const simulation = z.object({
  result: z.unknown().optional(),
  error: stepError.optional().describe("that a run would end with"),
  effects: z.array(z.looseObject({ step: z.string(), line: z.number(), kind: z.string() })).describe("what a run would do, in its order"),
  judgements: z.array(z.object({ line: z.number(), text: z.string() })).describe("passed, since nobody thinks"),
  warnings: explanation.shape.warnings,
  unused: z.array(z.string()).describe("answers that nothing asked for"),
});

const limits = { ...defaultLimits, steps: 1000, seconds: 20 };

/** Of a run that nobody will go on with. */
const forgetful: Journal = {
  intentOf: () => undefined,
  resultOf: () => undefined,
  intent: async () => {},
  note: () => {},
  result: () => {},
  settle: async () => {},
  flush: async () => {},
  enter: async () => {},
  close: async () => 0,
};

/** @throws CodedError REQUEST_INVALID, COMPOSITION_NOT_FOUND, COMPOSITION_INVALID, PATTERN_INVALID; the signal's reason */
export async function simulate(
  context: ModuleContext,
  request: SimulateRequest,
  signal: AbortSignal,
): Promise<z.output<typeof simulation>> {
  const { inputs, answers = {} } = request;
  const pattern = await givenPattern(context, request);
  assertPlayable(pattern);
  const lines = new Map<string, number>();
  const told: z.output<typeof simulation>["effects"] = [];
  const judgements = new Map<number, { line: number; text: string }>();
  const effects = stubbedEffects(answers, (step) => lines.get(step));
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(limitExceeded("seconds", limits.seconds)), limits.seconds * 1000);

  function begin({ step, line, effect }: Doing): () => void {
    lines.set(step, line);
    told.push({ step, line, ...effect });
    return () => lines.delete(step);
  }

  async function outcome() {
    try {
      const result = await play({
        name: pattern.name,
        strategy: pattern.strategy,
        variables: { ...pattern.variables, ...inputs },
        effects,
        limits,
        journal: forgetful,
        expressions: context.expressions,
        patterns: (name) => loadPattern(context, name),
        signal: AbortSignal.any([signal, late.signal]),
        onEffect: begin,
        onJudgement: ({ position: { line }, text }) => judgements.set(line, { line, text }),
      });
      return { result };
    } catch (error) {
      if (signal.aborted || !(error instanceof CodedError)) throw error;
      return { error: stepErrorOf(error) };
    } finally {
      clearTimeout(timer);
    }
  }

  const reached = await outcome();
  return { ...reached, effects: told, judgements: [...judgements.values()], warnings: warningsOf(pattern), unused: effects.unused() };
}
