/** Performs the steps of a run, each at most once: what the journal has a result of is taken from there. */
import { CodedError } from "../../../daemon/errors.ts";
import type { Effect } from "./effects.ts";
import type { Play } from "./interpreter.ts";
import type { StepResult } from "./journal.ts";
import { limitExceeded } from "./limits.ts";

/** One strand of a run. Its steps are numbered by themselves, so that numbers do not depend on which branch is faster. */
export interface Thread {
  readonly prefix: string;
  count: number;
  /** Aborted when the strand is to stop: with the run, or alone, as the loser of a race. */
  readonly signal: AbortSignal;
}

export interface Steps {
  readonly main: Thread;
  /** Threads for branches that run side by side; each may be given a signal of its own, which the thread's must abort. */
  fork(thread: Thread): (branch: number, signal?: AbortSignal) => Thread;
  effect(thread: Thread, line: number, effect: Effect): Promise<unknown>;
  /** Something that a replay could not compute again, such as the time. */
  value(thread: Thread, line: number, compute: () => Promise<unknown>): Promise<unknown>;
}

export function createSteps({ journal, effects, limits, signal, onStep }: Omit<Play, "strategy" | "variables">): Steps {
  let performed = 0;

  function begin(thread: Thread): string {
    thread.signal.throwIfAborted();
    if (performed >= limits.steps) throw limitExceeded("steps", limits.steps);
    performed++;
    return `${thread.prefix}${++thread.count}`;
  }

  async function recorded(thread: Thread, line: number, perform: (step: string) => Promise<unknown>): Promise<unknown> {
    const step = begin(thread);
    const earlier = journal.resultOf(step);
    if (earlier === undefined) return record(step, thread.signal, line, perform);
    assertSameLine(step, earlier.line, line);
    onStep?.(performed);
    return outcomeOf(earlier);
  }

  async function record(step: string, stopped: AbortSignal, line: number, perform: (step: string) => Promise<unknown>): Promise<unknown> {
    const start = performance.now();
    let result: StepResult;
    try {
      const value = asJson(await perform(step));
      result = { step, line, value, milliseconds: sinceMilliseconds(start) };
    } catch (error) {
      // An effect cut short by the end of its strand, or by the daemon's, did not fail: its outcome is open.
      stopped.throwIfAborted();
      if (!(error instanceof CodedError) || error.code === "SHUTTING_DOWN") throw error;
      result = {
        step,
        line,
        error: { code: error.code, message: error.message, details: error.details },
        milliseconds: sinceMilliseconds(start),
      };
    }
    journal.result(result);
    onStep?.(performed);
    return outcomeOf(result);
  }

  return {
    main: { prefix: "", count: 0, signal },
    fork(thread) {
      const prefix = `${thread.prefix}${++thread.count}`;
      return (branch, signal = thread.signal) => ({ prefix: `${prefix}.${branch + 1}.`, count: 0, signal });
    },
    effect(thread, line, asked) {
      return recorded(thread, line, async (step) => {
        const intent = journal.intentOf(step);
        // What was begun goes on as it was: a wait ends when it was to end.
        const effect = intent?.effect ?? asked;
        if (intent !== undefined) {
          assertSameLine(step, intent.line, line);
          if (!(await effects.isRepeatable(effect))) throw outcomeUnknown(step, line, effect);
        } else if (!effects.isRead(effect)) {
          await journal.intent({ step, line, effect });
          thread.signal.throwIfAborted();
        } else if (effect.kind === "sleep") {
          await journal.flush();
        }
        return effects.perform(effect, step, thread.signal);
      });
    },
    value(thread, line, compute) {
      return recorded(thread, line, compute);
    },
  };
}

function outcomeOf({ value, error }: StepResult): unknown {
  if (error !== undefined) throw new CodedError(error.code, error.message, error.details);
  return value;
}

/** As the journal will give it back, so that a replay sees the same. */
const asJson = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

const sinceMilliseconds = (start: number): number => Math.round((performance.now() - start) * 1000) / 1000;

function outcomeUnknown(step: string, line: number, effect: Effect): CodedError {
  return new CodedError(
    "STEP_OUTCOME_UNKNOWN",
    `The daemon stopped during step ${step} (${effect.kind}, line ${line}), which must not be done twice: see whether it was done, and start again.`,
    { step, line, effect: effect.kind },
  );
}

/** The text is pinned to a commit, so this happens only when the interpreter itself changed between two plays. */
function assertSameLine(step: string, before: number, now: number): void {
  if (before === now) return;
  throw new CodedError("RUN_DIVERGED", `Step ${step} was at line ${before} and is now at line ${now}.`, { step, before, now });
}
