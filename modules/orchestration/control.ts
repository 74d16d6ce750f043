/** Tells how a run is, and changes how it goes on: cancel, pause, resume. */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import type { RunCatalogue } from "./catalogue.ts";
import { packed, referenceOf } from "./contents.ts";
import { grown, type Journals } from "./journals.ts";
import type { Playing } from "./playing.ts";
import { type EndedEntry, playedOf, type RunEntry, recordOf, type StartedEntry } from "./record.ts";
import { Cancelled } from "./run.ts";
import type { RunStatus } from "./schema.ts";
import { tellChange } from "./telling.ts";

export interface Control {
  /** @param wait seconds to wait for its end */
  status(run: string, wait: number, signal: AbortSignal): Promise<RunStatus>;
  cancel(run: string, signal: AbortSignal): Promise<RunStatus>;
  pause(run: string, signal: AbortSignal): Promise<RunStatus>;
  resume(run: string, signal: AbortSignal): Promise<RunStatus>;
}

export interface ControlOptions {
  readonly context: ModuleContext;
  readonly journals: Journals;
  readonly catalogue: RunCatalogue;
  readonly playing: Playing;
}

/** Bytes of a result that a reply carries; of a larger one it tells where it is. */
const largestResult = 512 * 1024;
/** Seconds. A run stops at once, but for the append that says so; a pause waits for the steps under way. */
const patience = 10;

export function createControl({ context, journals, catalogue, playing }: ControlOptions): Control {
  /** @param wait seconds until it is played no more */
  async function status(id: string, wait: number, signal: AbortSignal): Promise<RunStatus> {
    const deadline = performance.now() + wait * 1000;
    const left = () => (deadline - performance.now()) / 1000;
    if (playing.find(id) === undefined) await within(left(), playing.recovered(id), signal);
    for (let run = playing.find(id); run !== undefined && left() > 0; run = playing.find(id)) {
      const rest = await within(left(), run.done, signal);
      signal.throwIfAborted();
      if (rest?.kind === "ended") return endedStatus(run.handle.started, rest.entry);
      await run.closed;
      await playing.recovered(id);
    }
    const run = playing.find(id);
    if (run === undefined) {
      const stored = await storedStatus(id);
      if (left() <= 0 || stored.state !== "running" || !isElsewhere(stored)) return stored;
      await playing.ended(id, AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(left() * 1000))])).catch(() => {}); // then as it is now
      return storedStatus(id);
    }
    if (run.told?.kind === "ended") return endedStatus(run.handle.started, run.told.entry);
    const { handle } = run;
    const usage = handle.usage();
    const doing = handle.doing();
    return { ...recordOf(handle.started), steps: usage.steps, usage, doing, ...(handle.isPausing && { pausing: true }) };
  }

  async function cancel(id: string, signal: AbortSignal): Promise<RunStatus> {
    await within(patience, playing.recovered(id), signal);
    const run = playing.find(id);
    run?.handle.stop(new Cancelled());
    if (run !== undefined) return status(id, patience, signal);
    const now = await status(id, 0, signal);
    assertHere(now);
    if (now.state !== "paused") return now;
    const started = (await journals.read(id))[0] as StartedEntry;
    catalogue.told(await journals.end(started, { state: "cancelled" }));
    return status(id, 0, signal);
  }

  async function pause(id: string, signal: AbortSignal): Promise<RunStatus> {
    await within(patience, playing.recovered(id), signal);
    const run = playing.find(id);
    if (run === undefined) assertHere(await status(id, 0, signal));
    else run.handle.pause();
    return status(id, patience, signal);
  }

  /** Does another daemon play it, or keep it paused? */
  const isElsewhere = ({ run_id, state, owner }: RunStatus) =>
    (state === "running" || state === "paused") && playing.find(run_id) === undefined && !playing.leases.holds(owner);

  /** @throws CodedError RUN_ELSEWHERE */
  function assertHere(run: RunStatus): void {
    if (!isElsewhere(run)) return;
    const { run_id, owner } = run;
    throw new CodedError("RUN_ELSEWHERE", `The run ${run_id} is played by another daemon, ${owner}.`, { run_id, owner });
  }

  async function resume(id: string, signal: AbortSignal): Promise<RunStatus> {
    const now = await status(id, 0, signal);
    assertHere(now);
    if (now.state !== "paused") return now;
    const entries = await journals.read(id);
    const resumed = { type: "resumed", at: new Date().toISOString() } as const;
    if ((await journals.append(id, entries.length, resumed)) === "conflict") throw grown(id);
    await catalogue.known(signal);
    catalogue.told(await tellChange(context, entries[0] as StartedEntry, "resumed", now.usage, entries.length));
    await playing.goOn([...entries, resumed]);
    return status(id, 0, signal);
  }

  /** As the journal tells it. */
  async function storedStatus(id: string): Promise<RunStatus> {
    const entries = await journals.readClosed(id);
    const [started, last] = [entries[0] as StartedEntry, entries.at(-1) as RunEntry];
    if (last.type !== "ended") {
      const { usage, isPaused } = playedOf(entries);
      return { ...recordOf(started, isPaused ? "paused" : "running"), steps: usage.steps, usage };
    }
    const reference = referenceOf(last, "result");
    const isTooLarge = reference !== undefined && reference.bytes > largestResult;
    return endedStatus(started, isTooLarge ? { ...last, result: reference, ...{ objects: undefined } } : await journals.whole(last));
  }

  async function endedStatus(started: StartedEntry, ended: EndedEntry): Promise<RunStatus> {
    const { type: _, at: __, results: ___, intents: ____, result, ...about } = ended;
    const isTooLarge = (JSON.stringify(result)?.length ?? 0) > largestResult;
    return {
      ...recordOf(started, ended.state, ended),
      ...about,
      ...(result !== undefined && { result: isTooLarge ? await packed(context.objects, result) : result }),
      steps: ended.usage.steps,
    };
  }

  return { status, cancel, pause, resume };
}

/** Waits for the work, at most so many seconds, and no longer than the signal lets it. */
async function within<Result>(seconds: number, work: Promise<Result>, signal: AbortSignal): Promise<Result | undefined> {
  if (seconds <= 0 || signal.aborted) return undefined;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const giveUp = () => resolve(undefined);
  const timer = setTimeout(giveUp, seconds * 1000);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}
