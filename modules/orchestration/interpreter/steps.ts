/** Performs the steps of a run, each at most once: what the journal has a result of is taken from there. */
import { CodedError } from "../../../daemon/errors.ts";
import { type Account, nothing, openAccount } from "../account.ts";
import type { Effect, Effects } from "./effects.ts";
import type { Journal, StepResult } from "./journal.ts";
import { type Limits, limitExceeded } from "./limits.ts";
import { type Repetition, watchRepetition } from "./repetition.ts";

/** One strand of a run. Its steps are numbered by themselves, so that numbers do not depend on which branch is faster. */
export interface Thread {
  readonly prefix: string;
  count: number;
  /** Aborted when the strand is to stop: with the run, or alone, as the loser of a race. */
  readonly signal: AbortSignal;
  /** What it has done, where that is watched. */
  repetition?: Repetition;
}

/** A step that is under way. */
export interface Doing {
  readonly step: string;
  readonly line: number;
  readonly effect: Effect;
}

/** Whether an effect happened of which nobody was sure. */
export type Verdict = { readonly happened: true; readonly value?: unknown } | { readonly happened: false };

export interface StepsOptions {
  readonly journal: Journal;
  readonly effects: Effects;
  readonly limits: Limits;
  /** Aborted with the error that the run shall end with. */
  readonly signal: AbortSignal;
  /** Aborted when no step is to begin any more; those under way go on to their end, but for waits. */
  readonly pausing?: AbortSignal;
  /** What models and tools are paid from; default: one with the run's limits. */
  readonly account?: Account;
  /** Resolves when this daemon may act for the run. @throws RunLost */
  readonly whenOwned?: (signal: AbortSignal) => Promise<void> | undefined;
  /** Asks somebody whether the effect happened, after a stop of the daemon. @throws CodedError STEP_OUTCOME_UNKNOWN */
  readonly inquire?: (doing: Doing, attempt: number, signal: AbortSignal) => Promise<Verdict>;
  /** Called when a step begins; the returned function when it ended. */
  readonly onEffect?: (doing: Doing) => () => void;
  /** Called after each step that was performed or replayed. */
  readonly onStep?: (steps: number) => void;
}

export interface Steps {
  readonly main: Thread;
  /** Threads for branches that run side by side; each may be given a signal of its own, which the thread's must abort. */
  fork(thread: Thread): (branch: number, signal?: AbortSignal) => Thread;
  effect(thread: Thread, line: number, effect: Effect): Promise<unknown>;
  /** Something that a replay could not compute again, such as the time. */
  value(thread: Thread, line: number, compute: () => Promise<unknown>): Promise<unknown>;
}

export function createSteps(options: StepsOptions): Steps {
  const { journal, effects, limits, signal, pausing, account = openAccount(limits), onStep } = options;
  let performed = 0;

  function begin(thread: Thread): string {
    thread.signal.throwIfAborted();
    if (performed >= limits.steps) throw limitExceeded("steps", limits.steps);
    performed++;
    return `${thread.prefix}${++thread.count}`;
  }

  /** A step as the journal has it, or else as it is performed now. */
  async function step(thread: Thread, line: number, perform: (id: string, purse: Purse) => Promise<unknown>, isRepeatable: boolean) {
    const id = begin(thread);
    const earlier = journal.resultOf(id);
    if (earlier !== undefined) {
      assertSameLine(id, earlier.line, line);
      onStep?.(performed);
      return outcomeOf(earlier);
    }
    pausing?.throwIfAborted();
    account.assertWithin();
    const result = await record(id, thread, line, perform);
    journal.result(result, isRepeatable && result.error === undefined);
    onStep?.(performed);
    return outcomeOf(result);
  }

  async function record(
    id: string,
    thread: Thread,
    line: number,
    perform: (id: string, purse: Purse) => Promise<unknown>,
  ): Promise<StepResult> {
    const start = performance.now();
    const purse = account.purse();
    const about = () => ({ step: id, line, milliseconds: sinceMilliseconds(start), ...(purse.spent !== nothing && purse.spent) });
    try {
      const value = asJson(await perform(id, purse));
      return { ...about(), value };
    } catch (error) {
      // An effect cut short by the end of its strand, or by the daemon's, did not fail: its outcome is open.
      thread.signal.throwIfAborted();
      if (!(error instanceof CodedError) || error.code === "SHUTTING_DOWN") throw error;
      return { ...about(), error: { code: error.code, message: error.message, details: error.details } };
    }
  }

  async function perform(thread: Thread, doing: Doing, isNew: boolean, purse: Purse): Promise<unknown> {
    const { step: id, line, effect } = doing;
    if (!isNew) {
      await journal.settle();
    } else if (effects.isSelfRecording(effect)) {
      await journal.settle();
      journal.note({ step: id, line, effect });
    } else if (!effects.isRead(effect)) {
      await journal.intent({ step: id, line, effect });
      thread.signal.throwIfAborted();
    } else if (isWait(effect)) {
      await journal.flush();
    }
    // Only waits are cut short by a pause: they lose nothing.
    const stopped = pausing !== undefined && isWait(effect) ? AbortSignal.any([thread.signal, pausing]) : thread.signal;
    try {
      await options.whenOwned?.(stopped);
      return await effects.perform(effect, id, stopped, purse);
    } catch (error) {
      if (stopped !== thread.signal) pausing?.throwIfAborted();
      throw error;
    }
  }

  /** The effect had begun when the daemon stopped. */
  async function repeat(thread: Thread, doing: Doing, attempt: number, purse: Purse): Promise<unknown> {
    const { step: id, line, effect } = doing;
    if (await effects.isRepeatable(effect, id)) return perform(thread, doing, false, purse);
    const stopped = pausing === undefined ? thread.signal : AbortSignal.any([thread.signal, pausing]);
    const verdict = await inquire(doing, attempt, stopped);
    if (verdict.happened) return verdict.value;
    await journal.intent({ step: id, line, effect, attempt: attempt + 1 });
    return perform(thread, doing, false, purse);
  }

  async function inquire(doing: Doing, attempt: number, stopped: AbortSignal): Promise<Verdict> {
    if (options.inquire === undefined) throw outcomeUnknown(doing);
    try {
      return await options.inquire(doing, attempt, stopped);
    } catch (error) {
      stopped.throwIfAborted();
      throw error;
    }
  }

  /** A model that does the same over and over does not get further. */
  async function unlessRepeating(thread: Thread, effect: Effect, work: () => Promise<unknown>): Promise<unknown> {
    if (limits.repeats >= limits.steps) return work();
    thread.repetition ??= watchRepetition();
    if (thread.repetition.roundsWith(effect) > limits.repeats) throw limitExceeded("repeats", limits.repeats);
    try {
      const value = await work();
      thread.repetition.done(effect, value);
      return value;
    } catch (error) {
      thread.repetition.done(effect, error);
      throw error;
    }
  }

  return {
    main: { prefix: "", count: 0, signal },
    fork(thread) {
      const prefix = `${thread.prefix}${++thread.count}`;
      return (branch, signal = thread.signal) => ({ prefix: `${prefix}.${branch + 1}.`, count: 0, signal });
    },
    effect(thread, line, asked) {
      const work = async (id: string, purse: Purse) => {
        const intent = journal.intentOf(id);
        if (intent !== undefined) assertSameLine(id, intent.line, line);
        // What was begun goes on as it was: a wait ends when it was to end.
        const doing = { step: id, line, effect: intent?.effect ?? asked };
        const ended = options.onEffect?.(doing);
        try {
          return await (intent === undefined ? perform(thread, doing, true, purse) : repeat(thread, doing, intent.attempt ?? 1, purse));
        } finally {
          ended?.();
        }
      };
      return unlessRepeating(thread, asked, () => step(thread, line, work, effects.isSelfRecording(asked)));
    },
    value: (thread, line, compute) => step(thread, line, compute, false),
  };
}

type Purse = ReturnType<Account["purse"]>;

const isWait = ({ kind }: Effect): boolean => kind === "sleep" || kind === "await";

function outcomeOf({ value, error }: StepResult): unknown {
  if (error !== undefined) throw new CodedError(error.code, error.message, error.details);
  return value;
}

/** As the journal will give it back, so that a replay sees the same. */
const asJson = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

const sinceMilliseconds = (start: number): number => Math.round((performance.now() - start) * 1000) / 1000;

export function outcomeUnknown({ step, line, effect }: Doing): CodedError {
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
