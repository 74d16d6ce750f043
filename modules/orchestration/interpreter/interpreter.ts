/**
 * The scripted interpreter: walks the statements of a strategy, changes the variables of the run, and asks `Effects` for what
 * touches the world. Pure of I/O itself.
 *
 * It is durable by replay: a resumed run is played again from its start, and a step whose result is in the journal takes it
 * from there. So everything between two steps is deterministic; expressions that ask for the time or for chance are steps too.
 */
import { setImmediate as yieldToOthers } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { CodedError } from "../../../daemon/errors.ts";
import type { Expressions } from "../../../daemon/module.ts";
import type { Condition, Expression, Fields, Judgement, Statement, Strategy } from "../language/ast.ts";
import type { State } from "../language/direct.ts";
import type { Effect, Effects } from "./effects.ts";
import { evaluate, isTrue } from "./evaluate.ts";
import { type Journal, RunLost } from "./journal.ts";
import { type Limits, limitExceeded, maximumStatements } from "./limits.ts";
import { createScope, type Scope } from "./scope.ts";
import { createSteps, type Thread } from "./steps.ts";

export interface Play {
  readonly strategy: Strategy;
  /** The variables at the start. */
  readonly variables: State;
  readonly effects: Effects;
  readonly expressions: Pick<Expressions, "evaluate">;
  readonly journal: Journal;
  readonly limits: Limits;
  /** Aborted with the error that the run shall end with. */
  readonly signal: AbortSignal;
  /** Called after each step that was performed or replayed. */
  readonly onStep?: (steps: number) => void;
  /** Called at each judgement point that is skipped. */
  readonly onJudgement?: (judgement: Judgement) => void;
}

/** How a list of statements ended: undefined = at its end. */
type Completion = { readonly result: unknown } | undefined;

const parallelBranches = 8;
const statementsPerTurn = 200;

/** Errors that no ON ERROR or RETRY may catch: they end the run. */
const final = new Set(["RUN_LIMIT_EXCEEDED", "RUN_ABORTED", "JUDGEMENT_REQUIRED", "STEP_OUTCOME_UNKNOWN", "RUN_DIVERGED"]);

/**
 * @returns what the pattern RETURNs, else its variables at the end
 * @throws CodedError that ended the run; RunLost; the reason of the signal
 */
export async function play(options: Play): Promise<unknown> {
  const { strategy, signal, expressions } = options;
  const steps = createSteps(options);
  const whole = createScope(options.variables);
  let statements = 0;

  const compute = (expression: Expression, scope: Scope, thread: Thread, line: number): Promise<unknown> =>
    expression.volatile
      ? steps.value(thread, line, () => evaluate(expression, scope.state, expressions))
      : evaluate(expression, scope.state, expressions);

  async function run(list: readonly Statement[], scope: Scope, thread: Thread): Promise<Completion> {
    for (const statement of list) {
      const completion = await one(statement, scope, thread);
      if (completion !== undefined) return completion;
    }
    return undefined;
  }

  async function one(statement: Statement, scope: Scope, thread: Thread): Promise<Completion> {
    signal.throwIfAborted();
    if (++statements > maximumStatements) throw limitExceeded("statements", maximumStatements);
    if (statements % statementsPerTurn === 0) await yieldToOthers();
    const { line } = statement.position;
    const value = (expression: Expression) => compute(expression, scope, thread, line);
    const optional = async (expression: Expression | undefined) => (expression === undefined ? undefined : value(expression));
    const holds = async (condition: Condition) => condition.kind === "expression" && isTrue(await value(condition.expression));
    const step = (effect: Effect) => steps.effect(thread, line, effect);
    const keep = (name: string | undefined, result: unknown) => {
      if (name !== undefined) scope.set([name], result);
    };

    switch (statement.kind) {
      case "judgement":
        if (statement.required) throw judgementRequired(statement);
        options.onJudgement?.(statement);
        return statement.guards ? undefined : run(statement.body, scope, thread);
      case "group":
        return run(statement.body, scope, thread);
      case "if":
        for (const { condition, body } of statement.branches) {
          if (await holds(condition)) return run(body, scope, thread);
        }
        return run(statement.otherwise, scope, thread);
      case "branch": {
        const chosen = await value(statement.value);
        for (const { value: candidate, body } of statement.cases) {
          if (isDeepStrictEqual(await value(candidate), chosen)) return run(body, scope, thread);
        }
        return run(statement.otherwise, scope, thread);
      }
      case "loop": {
        const from = wholeNumber(await value(statement.from), "FROM", line);
        const to = wholeNumber(await value(statement.to), "TO", line);
        for (let index = from; index <= to; index++) {
          const completion = await withVariable(statement.variable, index, statement.body, scope, thread);
          if (completion !== undefined) return completion;
        }
        return undefined;
      }
      case "foreach": {
        const list = await value(statement.list);
        for (const item of list === undefined ? [] : Array.isArray(list) ? list : [list]) {
          const completion = await withVariable(statement.variable, item, statement.body, scope, thread);
          if (completion !== undefined) return completion;
        }
        return undefined;
      }
      case "while": {
        const maximum = statement.maximum && wholeNumber(await value(statement.maximum), "MAX", line);
        for (let round = 0; (maximum === undefined || round < maximum) && (await holds(statement.condition)); round++) {
          await turn();
          const completion = await run(statement.body, scope, thread);
          if (completion !== undefined) return completion;
        }
        return undefined;
      }
      case "parallel": {
        const maximum = statement.maximum && wholeNumber(await value(statement.maximum), "MAX", line);
        return parallel(statement.body, maximum ?? parallelBranches, scope, thread);
      }
      case "retry": {
        const times = wholeNumber(await value(statement.times), "TIMES", line);
        const backoff = seconds(await optional(statement.backoff), "BACKOFF", line);
        return retry(statement.body, times, backoff, (milliseconds) => step({ kind: "sleep", milliseconds }), scope, thread);
      }
      case "attempt":
        try {
          return await run(statement.body, scope, thread);
        } catch (error) {
          const caught = catchable(error, signal);
          const { code, message, details } = caught;
          return withVariable("error", { code, message, details }, statement.handler, scope, thread);
        }
      case "assign":
        for (const { path, value: expression } of statement.assignments) scope.set(path, await value(expression));
        return undefined;
      case "append": {
        const item = await value(statement.value);
        if (item !== undefined) scope.append(statement.path, item);
        return undefined;
      }
      case "emit": {
        const event = text(await value(statement.event), "the name of an event", line);
        const delay = seconds(await optional(statement.after), "AFTER", line);
        keep(statement.as, await step({ kind: "emit", event, data: await optional(statement.data), delay }));
        return undefined;
      }
      case "call": {
        const command = text(await value(statement.command), "the name of a command", line);
        keep(statement.as, await step({ kind: "call", command, input: (await optional(statement.input)) ?? {} }));
        return undefined;
      }
      case "run": {
        const tool = text(await value(statement.tool), "the name of a tool", line);
        const reply = await step({ kind: "run", tool, input: (await optional(statement.input)) ?? {} });
        keep(statement.as, (reply as { result?: unknown } | undefined)?.result);
        return undefined;
      }
      case "choose": {
        const candidates = [await value(statement.candidates)].flat().filter((candidate) => candidate !== undefined);
        const context = await optional(statement.context);
        keep(statement.as, await step({ kind: "choose", slot: statement.slot, context, candidates }));
        return undefined;
      }
      case "outcome": {
        const selection = scope.state[statement.selection] as { decision_id?: unknown } | null | undefined;
        const id = text(selection?.decision_id, `"${statement.selection}" to be what a CHOOSE gave`, line);
        await step({ kind: "outcome", input: { ...(await objectOf(statement.fields, value)), decision_id: id } });
        return undefined;
      }
      case "track":
        await step({ kind: "track", input: await objectOf(statement.fields, value) });
        return undefined;
      case "return":
        return { result: await value(statement.value) };
      case "abort":
        throw new CodedError("RUN_ABORTED", String(await value(statement.reason)), { line });
      case "unsupported":
        throw notPlayable(statement.keyword, line);
    }
  }

  /** A loop without statements inside counts too, and lets others have their turn. */
  async function turn(): Promise<void> {
    signal.throwIfAborted();
    if (++statements > maximumStatements) throw limitExceeded("statements", maximumStatements);
    if (statements % statementsPerTurn === 0) await yieldToOthers();
  }

  async function withVariable(name: string, value: unknown, body: readonly Statement[], scope: Scope, thread: Thread): Promise<Completion> {
    await turn();
    const restore = scope.shadow(name, value);
    try {
      return await run(body, scope, thread);
    } finally {
      restore();
    }
  }

  /** Each statement is a branch; the first error, in their order, is that of the whole, after all have come to rest. */
  async function parallel(branches: readonly Statement[], maximum: number, scope: Scope, thread: Thread): Promise<Completion> {
    const fork = steps.fork(thread);
    const scopes = branches.map(() => scope.fork());
    const completions: PromiseSettledResult<Completion>[] = [];
    let next = 0;
    const work = async () => {
      while (next < branches.length) {
        const index = next++;
        const branch = one(branches[index] as Statement, scopes[index] as Scope, fork(index));
        [completions[index]] = (await Promise.allSettled([branch])) as [PromiseSettledResult<Completion>];
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, Math.min(maximum, branches.length)) }, work));
    for (const completion of completions) if (completion.status === "rejected") throw completion.reason;
    scope.join(scopes);
    return completions.map((completion) => (completion as PromiseFulfilledResult<Completion>).value).find((value) => value !== undefined);
  }

  async function retry(
    body: readonly Statement[],
    times: number,
    backoff: number | undefined,
    wait: (milliseconds: number) => Promise<unknown>,
    scope: Scope,
    thread: Thread,
  ): Promise<Completion> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run(body, scope, thread);
      } catch (error) {
        const caught = catchable(error, signal);
        if (attempt >= times) throw caught;
        if (backoff !== undefined) await wait(backoff * 1000 * 2 ** (attempt - 1));
      }
    }
  }

  const completion = await run(strategy.statements, whole, steps.main);
  return completion === undefined ? whole.state : completion.result;
}

/** The same error, if a pattern may handle it; throws it otherwise. */
function catchable(error: unknown, signal: AbortSignal): CodedError {
  signal.throwIfAborted();
  if (error instanceof RunLost || !(error instanceof CodedError) || final.has(error.code)) throw error;
  return error;
}

async function objectOf(fields: Fields, value: (expression: Expression) => Promise<unknown>): Promise<Record<string, unknown>> {
  if (fields.kind === "object") return (await value(fields.value)) as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const { key, value: expression } of fields.pairs) result[key] = await value(expression);
  return result;
}

function text(value: unknown, what: string, line: number): string {
  if (typeof value === "string" && value !== "") return value;
  throw unfit(`Line ${line} needs ${what}.`, line);
}

function wholeNumber(value: unknown, what: string, line: number): number {
  if (Number.isInteger(value)) return value as number;
  throw unfit(`Line ${line} needs a whole number after ${what}.`, line);
}

function seconds(value: unknown, what: string, line: number): number | undefined {
  if (value === undefined || (typeof value === "number" && value >= 0)) return value;
  throw unfit(`Line ${line} needs a duration such as 30s after ${what}.`, line);
}

const unfit = (message: string, line: number) => new CodedError("EXPRESSION_FAILED", message, { line });

const judgementRequired = ({ text, position }: Judgement) =>
  new CodedError("JUDGEMENT_REQUIRED", `Line ${position.line} requires a judgement, and the scripted interpreter has none: ${text}`, {
    line: position.line,
  });

export const notPlayable = (keyword: string, line: number): CodedError =>
  new CodedError("PATTERN_INVALID", `${keyword} (line ${line}) cannot be played yet.`, { statement: keyword, line });
