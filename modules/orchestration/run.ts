/** Plays one run from its journal: from the start, or on from where a daemon left it. */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import type { Account } from "./account.ts";
import { createActivity } from "./activity.ts";
import { withApproval } from "./approvals.ts";
import { startClock } from "./clock.ts";
import { assertSize } from "./contents.ts";
import { daemonEffects } from "./daemon-effects.ts";
import { pinnedPattern } from "./definition.ts";
import { inquirer } from "./inquire.ts";
import { play } from "./interpreter/interpreter.ts";
import { createJournal, RunLost, stepErrorOf } from "./interpreter/journal.ts";
import { limitExceeded } from "./interpreter/limits.ts";
import type { Doing } from "./interpreter/steps.ts";
import type { Journals } from "./journals.ts";
import type { Pattern } from "./pattern.ts";
import { type ChargedEntry, type EndedEntry, playedOf, type RunEntry, type StartedEntry } from "./record.ts";
import type { DoingNow, Usage } from "./schema.ts";
import { openClaims } from "./thinking/claims.ts";
import { withJudge } from "./thinking/judge.ts";
import { think } from "./thinking/think.ts";
import type { EventWatch } from "./watch.ts";

/** Reason of an abort: somebody ended the run. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
}

/** Reason of an abort: the daemon stops; the run stays open and goes on after the restart. */
export class Suspended extends Error {
  override readonly name = "Suspended";
}

/** Reason of an abort: the run is to rest until it is resumed. */
class Paused extends Error {
  override readonly name = "Paused";
}

/** How the playing ended. */
export type Rest =
  /** The entry is still to be written, after everybody was told. */
  | { readonly kind: "ended"; readonly entry: EndedEntry; write(entry: EndedEntry): Promise<unknown> }
  /** `entry` is the index of what says so in the journal. */
  | { readonly kind: "paused"; readonly entry: number }
  /** Somebody else wrote to the journal. */
  | { readonly kind: "lost" }
  /** Open: the daemon stops, or cannot go on. */
  | { readonly kind: "suspended" };

export interface RunHandle {
  readonly started: StartedEntry;
  readonly account: Account;
  /** So far, with what was replayed. */
  usage(): Usage;
  doing(): DoingNow[];
  stop(reason: Cancelled | Suspended | RunLost): void;
  /** No step begins from now on; those under way, but for waits, go on to their end. */
  pause(): void;
  /** Puts down what an agent that works for the run took. */
  note(charge: Pick<ChargedEntry, "agent_id" | "tokens" | "cost">): Promise<void>;
  readonly isPausing: boolean;
  readonly isAtRest: boolean;
  readonly rest: Promise<Rest>;
}

export interface RunOptions {
  readonly context: ModuleContext;
  readonly journals: Journals;
  readonly pattern: Pattern;
  /** The journal so far; the first entry is the started one. */
  readonly entries: readonly RunEntry[];
  /** That entry is still to be written. */
  readonly isNew?: boolean;
  /** Sequence of the event that says that it started. */
  readonly since: number;
  readonly account: Account;
  readonly watch: EventWatch;
  /** Resolves when this daemon may act for the run. @throws RunLost */
  whenOwned(signal: AbortSignal): Promise<void> | undefined;
  /** Called after each step that was not replayed. */
  onStep(): void;
}

export function playRun({
  context,
  journals,
  pattern,
  entries,
  isNew = false,
  since,
  account,
  watch,
  whenOwned,
  onStep,
}: RunOptions): RunHandle {
  const started = entries[0] as StartedEntry;
  const before = playedOf(entries);
  const { seconds } = started.limits;
  const abort = new AbortController();
  const pausing = new AbortController();
  const clock = startClock(before.usage.milliseconds, seconds * 1000, () => abort.abort(limitExceeded("seconds", seconds)));
  const activity = createActivity(clock.hold);
  const claims = openClaims(context, started);
  const inDaemon = { context, run: started, watch, since, activity, approval: pattern.approval };
  const effects = withApproval(daemonEffects(inDaemon), inDaemon);
  const judgements = new Map<number, { line: number; text: string }>();
  let steps = 0;

  const journal = createJournal({
    store: {
      read: () => journals.read(started.run_id),
      append: (index, entry) => journals.append(started.run_id, index, entry as RunEntry),
    },
    length: isNew ? 0 : entries.length,
    ...(isNew && { first: started }),
    steps: before.steps,
    elapsed: clock.elapsed,
    signal: context.signal,
  });
  const usage = () => ({ steps, milliseconds: clock.elapsed(), ...account.own });

  const shared = {
    context,
    run: started,
    pattern,
    claims,
    variables: { ...pattern.variables, ...started.inputs },
    journal,
    limits: started.limits,
    signal: abort.signal,
    pausing: pausing.signal,
    account,
    whenOwned,
    inquire: inquirer(inDaemon),
    onEffect: (doing: Doing) => activity.begin(doing),
    onStep(count: number) {
      steps = count;
      if (count > before.usage.steps) onStep();
    },
  };

  function interpret(): Promise<unknown> {
    if (started.interpreter === "llm") return think({ ...shared, effects });
    const thinks = started.interpreter === "hybrid";
    return play({
      ...shared,
      name: pattern.name,
      strategy: pattern.strategy,
      effects: thinks ? withJudge(effects, shared) : effects,
      expressions: context.expressions,
      patterns: (name, definition) => pinnedPattern(context, name, { commit: started.commit, definition }),
      thinks,
      onJudgement: ({ position: { line }, text }) => judgements.set(line, { line, text }),
    });
  }

  async function outcome(): Promise<Pick<EndedEntry, "state" | "result" | "error">> {
    try {
      const result = await interpret();
      assertSize(JSON.stringify(result)?.length ?? 0);
      return { state: "completed", result };
    } catch (error) {
      if (error instanceof Cancelled) return { state: "cancelled" };
      const isOpen =
        error instanceof Suspended ||
        error instanceof Paused ||
        error instanceof RunLost ||
        (error instanceof CodedError && error.code === "SHUTTING_DOWN");
      if (isOpen) throw error;
      if (!(error instanceof CodedError)) context.log.error({ run: started.run_id, error }, "a run failed by a defect");
      return { state: "failed", error: stepErrorOf(error) };
    }
  }

  async function end(): Promise<Rest> {
    try {
      const reached = await outcome();
      const entry: EndedEntry = {
        type: "ended",
        at: new Date().toISOString(),
        ...reached,
        usage: usage(),
        judgements: [...judgements.values()],
        ...(claims.unverified.length > 0 && { unverified: [...claims.unverified] }),
      };
      await journal.settle();
      await whenOwned(context.signal);
      return { kind: "ended", entry, write: journal.close };
    } catch (error) {
      return await restAfter(error);
    } finally {
      clock[Symbol.dispose]();
    }
  }

  async function restAfter(error: unknown): Promise<Rest> {
    const run = started.run_id;
    if (error instanceof RunLost) return { kind: "lost" };
    if (error instanceof Paused) {
      try {
        return { kind: "paused", entry: await journal.close({ type: "paused", at: new Date().toISOString(), elapsed: clock.elapsed() }) };
      } catch (failure) {
        return await restAfter(failure);
      }
    }
    if (abort.signal.aborted || context.signal.aborted) context.log.info({ run }, "a run waits for the next start");
    else context.log.error({ run, error }, "a run was interrupted; it goes on after a restart");
    return { kind: "suspended" };
  }

  let isAtRest = false;
  const rest = end().finally(() => {
    isAtRest = true;
  });

  return {
    started,
    account,
    usage,
    doing: activity.now,
    stop: (reason) => abort.abort(reason),
    pause: () => pausing.abort(new Paused()),
    note: (charge) =>
      journal.enter({ type: "charged", at: new Date().toISOString(), ...charge } satisfies ChargedEntry).catch((error: unknown) => {
        context.log.warn({ run: started.run_id, error, ...charge }, "what an agent took is not in the journal of its run");
      }),
    get isPausing() {
      return pausing.signal.aborted;
    },
    get isAtRest() {
      return isAtRest;
    },
    rest,
  };
}
