/** Plays one run from its journal: from the start, or on from where a daemon left it. */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { daemonEffects } from "./daemon-effects.ts";
import { play } from "./interpreter/interpreter.ts";
import { createJournal, RunLost, stepErrorOf } from "./interpreter/journal.ts";
import { limitExceeded } from "./interpreter/limits.ts";
import type { Pattern } from "./pattern.ts";
import type { EndedEntry, RunEntry, StartedEntry } from "./record.ts";

/** Reason of an abort: somebody ended the run. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
}

/** Reason of an abort: the daemon stops; the run stays open and goes on after the restart. */
export class Suspended extends Error {
  override readonly name = "Suspended";
}

export interface RunHandle {
  /** Steps so far, with those that were replayed. */
  readonly steps: number;
  /** Milliseconds played so far, by all daemons. */
  elapsed(): number;
  stop(reason: Cancelled | Suspended): void;
  /** The last entry; undefined when the run stays open (suspended, or taken over by another owner). */
  readonly ended: Promise<EndedEntry | undefined>;
}

const maximumResultBytes = 512 * 1024;

export interface RunOptions {
  readonly context: ModuleContext;
  readonly pattern: Pattern;
  /** The journal so far; the first entry is the started one. */
  readonly entries: readonly RunEntry[];
  /** Called after each step that was not replayed. */
  onStep(steps: number): void;
}

export function playRun({ context, pattern, entries, onStep }: RunOptions): RunHandle {
  const started = entries[0] as StartedEntry;
  const recorded = entries.filter((entry) => entry.type === "steps");
  const before = recorded.at(-1)?.elapsed ?? 0;
  const replayed = recorded.reduce((count, { results }) => count + results.length, 0);
  const begun = performance.now();
  const elapsed = () => Math.round(before + performance.now() - begun);
  const abort = new AbortController();
  let steps = 0;

  const { seconds } = started.limits;
  const timer = setTimeout(() => abort.abort(limitExceeded("seconds", seconds)), Math.max(0, seconds * 1000 - before));
  const journal = createJournal({
    store: {
      read: () => context.journal.read(started.run_id),
      append: (index, entry) => context.journal.append(started.run_id, index, entry),
    },
    length: entries.length,
    steps: recorded,
    elapsed,
    signal: context.signal,
  });
  const judgements = new Map<number, { line: number; text: string }>();

  async function outcome(): Promise<Pick<EndedEntry, "state" | "result" | "error">> {
    try {
      const result = await play({
        strategy: pattern.strategy,
        variables: { ...pattern.variables, ...started.inputs },
        effects: daemonEffects(context, started),
        expressions: context.expressions,
        journal,
        limits: started.limits,
        signal: abort.signal,
        onStep(count) {
          steps = count;
          if (count > replayed) onStep(count);
        },
        onJudgement: ({ position: { line }, text }) => judgements.set(line, { line, text }),
      });
      assertSize(result);
      return { state: "completed", result };
    } catch (error) {
      if (error instanceof Cancelled) return { state: "cancelled" };
      const isOpen =
        error instanceof Suspended || error instanceof RunLost || (error instanceof CodedError && error.code === "SHUTTING_DOWN");
      if (isOpen) throw error;
      if (!(error instanceof CodedError)) context.log.error({ run: started.run_id, error }, "a run failed by a defect");
      return { state: "failed", error: stepErrorOf(error) };
    }
  }

  async function end(): Promise<EndedEntry | undefined> {
    try {
      const usage = () => ({ steps, milliseconds: elapsed() });
      const reached = await outcome();
      const entry: EndedEntry = {
        type: "ended",
        at: new Date().toISOString(),
        ...reached,
        usage: usage(),
        judgements: [...judgements.values()],
      };
      await journal.close(entry);
      return entry;
    } catch (error) {
      if (error instanceof RunLost) context.log.warn({ run: started.run_id, error }, "a run has another owner now");
      else if (abort.signal.aborted || context.signal.aborted) context.log.info({ run: started.run_id }, "a run waits for the next start");
      else context.log.error({ run: started.run_id, error }, "a run was interrupted; it goes on after a restart");
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  return {
    get steps() {
      return steps;
    },
    elapsed,
    stop: (reason) => abort.abort(reason),
    ended: end(),
  };
}

function assertSize(result: unknown): void {
  const bytes = Buffer.byteLength(JSON.stringify(result) ?? "");
  if (bytes <= maximumResultBytes) return;
  throw new CodedError("RUN_LIMIT_EXCEEDED", `The result has ${bytes} bytes; ${maximumResultBytes} are allowed. RETURN less.`, {
    limit: "result_bytes",
    allowed: maximumResultBytes,
  });
}
