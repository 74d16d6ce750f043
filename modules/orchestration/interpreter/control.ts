/** Which statements are played, how often, and what happens when one fails. */
import { isDeepStrictEqual } from "node:util";
import { CodedError, type ErrorCode, errorTable } from "../../../daemon/errors.ts";
import type { Answer } from "./effects.ts";
import { listOf, seconds, wholeNumber } from "./fit.ts";
import { RunLost } from "./journal.ts";
import { Returned } from "./listeners.ts";
import type { Completion, Family, Place } from "./place.ts";

export const control: Family<
  "judgement" | "if" | "branch" | "loop" | "foreach" | "while" | "retry" | "attempt" | "assign" | "append" | "return" | "abort"
> = {
  async judgement({ text, required, guards, body }, at) {
    if (required && at.run.options.thinks !== true) throw judgementRequired(text, at.line);
    const answer = await at.judge({ about: guards ? "guard" : "point", text, required });
    await follow(answer, at);
    return guards && answer?.holds !== true ? undefined : at.play(body);
  },
  async if({ branches, otherwise }, at) {
    for (const { condition, body } of branches) if (await at.holds(condition)) return at.play(body);
    return at.play(otherwise);
  },
  async branch({ value, cases, otherwise }, at) {
    const chosen = await at.value(value);
    for (const { value: candidate, body } of cases) if (isDeepStrictEqual(await at.value(candidate), chosen)) return at.play(body);
    return at.play(otherwise);
  },
  async loop({ variable, from, to, body }, at) {
    const first = wholeNumber(await at.value(from), "FROM", at.line);
    const last = wholeNumber(await at.value(to), "TO", at.line);
    for (let index = first; index <= last; index++) {
      const completion = await at.playWith(variable, index, body);
      if (completion !== undefined) return completion;
    }
    return undefined;
  },
  async foreach({ variable, list, body }, at) {
    for (const item of listOf(await at.value(list))) {
      const completion = await at.playWith(variable, item, body);
      if (completion !== undefined) return completion;
    }
    return undefined;
  },
  async while({ condition, maximum, body }, at) {
    const most = maximum && wholeNumber(await at.value(maximum), "MAX", at.line);
    for (let round = 0; (most === undefined || round < most) && (await at.holds(condition)); round++) {
      await at.run.turn(at.strand);
      const completion = await at.play(body);
      if (completion !== undefined) return completion;
    }
    return undefined;
  },
  async retry({ times, backoff, body }, at) {
    const most = wholeNumber(await at.value(times), "TIMES", at.line);
    const pause = seconds(await at.optional(backoff), "BACKOFF", at.line);
    for (let attempt = 1; ; attempt++) {
      try {
        return await at.play(body);
      } catch (error) {
        const caught = catchable(error, at);
        if (attempt >= most) throw caught;
        if (pause !== undefined) await at.step({ kind: "sleep", milliseconds: pause * 1000 * 2 ** (attempt - 1) });
      }
    }
  },
  async attempt({ body, handler }, at) {
    try {
      return await at.play(body);
    } catch (error) {
      const { code, message, details } = catchable(error, at);
      return at.playWith("error", { code, message, details }, handler);
    }
  },
  async assign({ assignments }, at) {
    for (const { path, value } of assignments) at.strand.scope.set(path, await at.value(value));
    return undefined;
  },
  async append({ path, value }, at) {
    const item = await at.value(value);
    if (item !== undefined) at.strand.scope.append(path, item);
    return undefined;
  },
  async return({ value }, at): Promise<Completion> {
    return { result: await at.value(value) };
  },
  async abort({ reason }, at) {
    const value = await at.value(reason);
    throw caughtError(value) ?? new CodedError("RUN_ABORTED", String(value), { line: at.line });
  },
};

/** Errors that no ON ERROR or RETRY may catch: they end the run. */
const final = new Set(["RUN_LIMIT_EXCEEDED", "RUN_ABORTED", "JUDGEMENT_REQUIRED", "STEP_OUTCOME_UNKNOWN", "RUN_DIVERGED"]);

export const isFinal = (error: unknown): boolean =>
  error instanceof RunLost || error instanceof Returned || !(error instanceof CodedError) || final.has(error.code);

/** The same error, if a pattern may handle it; throws it otherwise. */
function catchable(error: unknown, { strand }: Place): CodedError {
  strand.thread.signal.throwIfAborted();
  if (isFinal(error)) throw error;
  return error as CodedError;
}

/** What ON ERROR has put into `error`, as it was thrown: ABORT lets it go on. */
function caughtError(value: unknown): CodedError | undefined {
  const { code, message, details } = (value ?? {}) as { code?: unknown; message?: unknown; details?: Record<string, unknown> };
  if (typeof code !== "string" || !Object.hasOwn(errorTable, code) || typeof message !== "string") return undefined;
  return new CodedError(code as ErrorCode, message, details);
}

/** Does what a judgement says: variables first, so that what is emitted may rest on them. */
async function follow(answer: Answer | undefined, at: Place): Promise<void> {
  for (const [name, value] of Object.entries(answer?.set ?? {})) at.keep(name, value);
  for (const { event, data } of answer?.emit ?? []) await at.step({ kind: "emit", event, data });
}

const judgementRequired = (text: string, line: number) =>
  new CodedError("JUDGEMENT_REQUIRED", `Line ${line} requires a judgement, and the scripted interpreter has none: ${text}`, { line });
