/**
 * The runs that this daemon plays: those whose owner's lease it holds.
 *
 * 1. How a run ended is decided when it is told, which all that it depends on precedes; the last entry of its journal follows. A
 *    pause is told after it is in the journal; again after a restart, if nobody was told.
 * 2. Nothing is played whose owner's lease is another daemon's (daemon/leases.ts); who appends out of turn is refused by the journal.
 */
import { CodedError } from "../../daemon/errors.ts";
import { LeaseLost, type Leases, openLeases } from "../../daemon/leases.ts";
import type { EventRecord, ModuleContext } from "../../daemon/module.ts";
import { retry } from "../../daemon/retry.ts";
import { type Account, openAccount, type Spend } from "./account.ts";
import type { RunCatalogue } from "./catalogue.ts";
import { createContinuing } from "./continuing.ts";
import { RunLost } from "./interpreter/journal.ts";
import type { Journals } from "./journals.ts";
import type { Pattern } from "./pattern.ts";
import { causeOf, identityOf, playedOf, type RunEntry, recordOf, type StartedEntry } from "./record.ts";
import { sweeper } from "./retention.ts";
import { Cancelled, playRun, type Rest, type RunHandle, Suspended } from "./run.ts";
import type { Direction, RunRecord } from "./schema.ts";
import { tellChange, tellEnd } from "./telling.ts";
import { openWatch } from "./watch.ts";

export interface OpenRun {
  readonly handle: RunHandle;
  /** Runs that it started. */
  children: number;
  /** Resolves when it is not played any more, and everybody was told why. */
  readonly done: Promise<Rest>;
  /** What it resolved with. */
  told?: Rest;
  /** Resolves when that is in the journal, too. */
  readonly closed: Promise<void>;
}

/**
 * @param since position in the log at which the run began
 * @param isNew its first entry is still to be written
 */
export type Play = (pattern: Pattern, entries: readonly RunEntry[], since: number, isNew?: boolean) => void;

export interface Playing extends AsyncDisposable {
  readonly leases: Leases;
  readonly play: Play;
  find(run: string | undefined): OpenRun | undefined;
  ofAgent(agent: string | undefined): OpenRun | undefined;
  /** Does what makes a run one that is played here; whoever asks for the run meanwhile waits. */
  begin<Result>(run: string, work: () => Promise<Result>): Promise<Result>;
  /** Resolves when a run that is being begun here is played, or is not. */
  begun(run: string): Promise<void>;
  /** Resolves when it is known of the run whether it is to be played here. */
  recovered(run: string): Promise<void>;
  /** Has a run that is this daemon's do something, whether or not it is being played. */
  direct(run: string, to: Direction): Promise<void>;
  /** Resolves when the log tells one of these events of a run that another daemon plays. @throws the signal's reason */
  told(run: string, types: readonly string[], after: number, signal: AbortSignal): Promise<EventRecord>;
  /** Tells something, as often as it takes. */
  untilTold(run: string, tell: () => Promise<void>): Promise<void>;
}

export interface PlayingOptions {
  readonly context: ModuleContext;
  readonly journals: Journals;
  readonly catalogue: RunCatalogue;
}

const progressMilliseconds = 250;

function runLost(error: unknown): never {
  throw error instanceof LeaseLost ? new RunLost(error.message) : error;
}

export async function openPlaying({ context, journals, catalogue }: PlayingOptions): Promise<Playing> {
  const open = new Map<string, OpenRun>();
  const runOfAgent = new Map<string, string>();
  const directing = new Map<string, Promise<void>>();
  /** Runs that are told of, and not played yet. */
  const beginning = new Map<string, Promise<void>>();
  /** Runs that were open, on their way to be played again. */
  const recovering = new Map<string, Promise<void>>();
  const stopping = new AbortController();
  const resources = new AsyncDisposableStack();
  const watch = resources.use(openWatch(context));
  const leases: Leases = resources.use(
    await openLeases({
      state: context.state,
      log: context.log,
      self: catalogue.identity,
      newId: context.newId,
      wanted: () => [sweeper, ...catalogue.ownersOfOpenRuns()],
      onGained(owner) {
        if (owner === sweeper) return;
        context.log.warn({ owner }, "this daemon takes over the runs of another");
        recover(owner, true);
      },
      onLost(owner) {
        if (owner === sweeper) return;
        context.log.warn({ owner }, "another daemon has taken over the runs of this one");
        for (const { handle } of open.values()) if (handle.started.owner === owner) handle.stop(new RunLost("another daemon plays it"));
      },
    }),
  );
  const goOn = createContinuing({ context, journals, catalogue, play, signal: stopping.signal });
  const known = catalogue.caughtUp.then(async () => {
    if (stopping.signal.aborted) return;
    recover(leases.owner, false);
    await leases.check();
  });

  function play(pattern: Pattern, entries: readonly RunEntry[], since: number, isNew = false): void {
    const started = entries[0] as StartedEntry;
    const { run_id, agent_id, owner } = started;
    let reported = performance.now();
    const handle: RunHandle = playRun({
      context,
      journals,
      pattern,
      entries,
      isNew,
      since,
      account: isNew ? openAccountOf(started) : openAccountOf(started, playedOf(entries).usage, catalogue.below(run_id).spent),
      watch,
      whenOwned: (signal) => (leases.holds(owner) ? undefined : leases.whenHeld(owner, signal).catch(runLost)),
      onStep() {
        if (performance.now() - reported < progressMilliseconds) return;
        reported = performance.now();
        tellProgress(handle);
      },
    });
    if (agent_id !== undefined) runOfAgent.set(agent_id, run_id);
    const children = isNew ? 0 : catalogue.below(run_id).children;
    const done = handle.rest.then((rest) => tell(handle, rest));
    const closed = done.then((told) => {
      Object.assign(run, { told });
      return conclude(handle, told);
    });
    const run: OpenRun = { handle, children, done, closed };
    open.set(run_id, run);
  }

  /** Within that of the run that started it, if that is open. */
  function openAccountOf({ limits, parent_run }: StartedEntry, own?: Spend, below?: Spend): Account {
    const openOne = find(parent_run)?.handle.account.open ?? openAccount;
    return openOne(limits, own, below);
  }

  function tellProgress({ started, usage }: RunHandle): void {
    const { steps, milliseconds } = usage();
    context.emit("orchestration:progressed", { ...identityOf(started), steps, milliseconds }, causeOf(started)).catch((error: unknown) => {
      context.log.warn({ run: started.run_id, error }, "progress could not be reported");
    });
  }

  async function tell(handle: RunHandle, rest: Rest): Promise<Rest> {
    const { started } = handle;
    const { run_id } = started;
    if (rest.kind === "paused") await untilTold(run_id, () => tellChange(context, started, "paused", handle.usage(), rest.entry));
    if (rest.kind !== "ended") return rest;
    let { entry } = rest;
    await untilTold(run_id, async () => {
      entry = await tellEnd(context, started, entry);
    });
    return { ...rest, entry };
  }

  async function conclude({ started }: RunHandle, rest: Rest): Promise<void> {
    const { run_id, agent_id, owner } = started;
    if (rest.kind === "ended") {
      const onFailure = (error: unknown) =>
        context.log.warn({ run: run_id, error }, "the end of a run is not in its journal, but in the log");
      await rest.write(rest.entry).catch(onFailure);
    }
    open.delete(run_id);
    if (agent_id !== undefined) runOfAgent.delete(agent_id);
    if (rest.kind !== "lost" || stopping.signal.aborted) return;
    // A write of a process that is gone may have come late: as long as the lease is ours, the run is.
    if (await leases.confirm(owner).catch(() => false)) recoverRun(recordOf(started), false);
    else context.log.warn({ run: run_id }, "a run has another owner now");
  }

  /** While the log cannot be written, the agent and whoever waits must not be left without the news. */
  async function untilTold(run: string, tell: () => Promise<void>): Promise<void> {
    const onFailure = (error: unknown) => context.log.warn({ run, error }, "news of a run could not be told yet");
    await retry(tell, { signal: stopping.signal, onFailure }).catch(() =>
      context.log.info({ run }, "the news of a run is told at the next start"),
    );
  }

  /** @param isForeign another daemon played the owner's runs, and may believe that it still does */
  function recover(owner: string, isForeign: boolean): void {
    for (const record of catalogue.runningOf(owner)) recoverRun(record, isForeign);
  }

  function recoverRun(record: RunRecord, isForeign: boolean): void {
    const { run_id } = record;
    if (open.has(run_id) || recovering.has(run_id) || stopping.signal.aborted) return;
    const inTime = recoverInTime(record, isForeign).finally(() => recovering.delete(run_id));
    recovering.set(run_id, inTime);
  }

  /** Other modules answer only after all have started; a run that cannot go on yet is tried again. */
  async function recoverInTime(record: RunRecord, isForeign: boolean): Promise<void> {
    const onFailure = (error: unknown) => {
      const isStarting = error instanceof CodedError && error.code === "SHUTTING_DOWN";
      if (!isStarting) context.log.error({ run: record.run_id, error }, "a run could not be resumed yet");
    };
    await retry(() => take(record, isForeign), { signal: stopping.signal, firstPause: 10, onFailure }).catch(() => {});
  }

  async function take({ run_id, parent_run }: RunRecord, isForeign: boolean): Promise<void> {
    // All commands are answered, or none: a step that meets a daemon that is still starting would hold the run up until the next.
    await context.call("orchestration:list", { limit: 1 });
    if (parent_run !== undefined) await recovering.get(parent_run);
    await goOn(run_id, { isForeign, to: catalogue.wantedOf(run_id) });
  }

  /** One at a time for each run: what is done next is read from its journal, which the one before writes. */
  async function direct(run_id: string, to: Direction): Promise<void> {
    const before = directing.get(run_id);
    const turn = (async () => {
      await before?.catch(() => {}); // whoever asked for it is told
      await directNow(run_id, to);
    })();
    directing.set(run_id, turn);
    try {
      await turn;
    } finally {
      if (directing.get(run_id) === turn) directing.delete(run_id);
    }
  }

  async function directNow(run_id: string, to: Direction): Promise<void> {
    await recovered(run_id);
    const run = find(run_id);
    if (run !== undefined) {
      if (to === "cancel") run.handle.stop(new Cancelled());
      if (to === "pause") run.handle.pause();
      if (!run.handle.isAtRest) return;
      await run.closed; // at rest, but paused perhaps
      if (find(run_id) !== undefined) return;
    }
    await goOn(run_id, { to });
  }

  /** Somebody asked another daemon. */
  catalogue.onDirected = (run_id) => {
    const owner = catalogue.recordOf(run_id)?.owner;
    if (owner === undefined || !leases.holds(owner)) return;
    const obey = async () => {
      await recovered(run_id);
      const to = catalogue.wantedOf(run_id);
      if (to !== undefined && leases.holds(owner)) await direct(run_id, to);
    };
    const onFailure = (error: unknown) => context.log.warn({ run: run_id, error }, "a run could not be directed yet");
    void retry(obey, { signal: stopping.signal, onFailure }).catch(() => {});
  };

  function begin<Result>(run: string, work: () => Promise<Result>): Promise<Result> {
    const result = work();
    const over = () => void beginning.delete(run);
    beginning.set(run, result.then(over, over));
    return result;
  }

  async function begun(run: string): Promise<void> {
    await beginning.get(run);
  }

  async function recovered(run: string): Promise<void> {
    await known;
    await begun(run);
    await recovering.get(run);
  }

  function find(run: string | undefined): OpenRun | undefined {
    return run === undefined ? undefined : open.get(run);
  }

  return {
    leases,
    play,
    find,
    ofAgent: (agent) => (agent === undefined ? undefined : find(runOfAgent.get(agent))),
    begin,
    begun,
    recovered,
    direct,
    told: (run, types, after, signal) =>
      watch.waitFor({ types, after, where: ({ data }) => (data as { run_id?: unknown }).run_id === run, signal }),
    untilTold,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      for (const { handle } of open.values()) handle.stop(new Suspended());
      await Promise.allSettled([...recovering.values(), ...[...open.values()].map(({ closed }) => closed)]);
      await resources.disposeAsync();
    },
  };
}
