/** Tells how a run is, and changes how it goes on: cancel, pause, resume. */
import type { ModuleContext } from "../../daemon/module.ts";
import type { RunCatalogue } from "./catalogue.ts";
import { packed, referenceOf } from "./contents.ts";
import type { Journals } from "./journals.ts";
import type { Playing } from "./playing.ts";
import { type EndedEntry, playedOf, type RunEntry, recordOf, type StartedEntry } from "./record.ts";
import type { Direction, RunStatus } from "./schema.ts";
import { endings } from "./telling.ts";

export interface Control {
  /** @param wait seconds to wait for its end */
  status(run: string, wait: number, signal: AbortSignal): Promise<RunStatus>;
  /** Where another daemon plays the run, that one does it, or whoever takes it over. */
  direct(run: string, to: Direction, signal: AbortSignal): Promise<RunStatus>;
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
/** Seconds. It takes milliseconds to tell how a run rests, unless the log takes nothing. */
const telling = 1;

export function createControl({ context, journals, catalogue, playing }: ControlOptions): Control {
  /** @param wait seconds until it is played no more */
  async function status(id: string, wait: number, signal: AbortSignal): Promise<RunStatus> {
    const deadline = performance.now() + wait * 1000;
    const left = () => (deadline - performance.now()) / 1000;
    await within(patience, playing.begun(id), signal);
    // How it rests may be heard of already.
    const resting = playing.find(id);
    if (resting?.handle.isAtRest) await within(telling, resting.done, signal);
    if (playing.find(id) === undefined) await within(left(), playing.recovered(id), signal);
    for (let run = playing.find(id); run !== undefined && left() > 0; run = playing.find(id)) {
      const rest = await within(left(), run.done, signal);
      signal.throwIfAborted();
      if (rest === undefined) break; // not over in time: then as it is now
      if (rest.kind === "ended") return endedStatus(run.handle.started, rest.entry);
      await within(left(), run.closed, signal);
      await within(left(), playing.recovered(id), signal);
    }
    const run = playing.find(id);
    if (run === undefined) {
      const stored = await storedStatus(id);
      if (left() <= 0 || stored.state !== "running" || !isElsewhere(stored)) return stored;
      const until = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(left() * 1000))]);
      await playing.told(id, endings, catalogue.sinceOf(id) ?? 0, until).catch(() => {}); // then as it is now
      return storedStatus(id);
    }
    if (run.told?.kind === "ended") return endedStatus(run.handle.started, run.told.entry);
    const { handle } = run;
    const usage = handle.usage();
    const doing = handle.doing();
    return { ...recordOf(handle.started), steps: usage.steps, usage, doing, ...(handle.isPausing && { pausing: true }) };
  }

  /** Has it done here, or tells the daemon whose run it is; durable when it resolves. */
  async function direct(id: string, to: Direction, signal: AbortSignal): Promise<RunStatus> {
    await within(patience, playing.recovered(id), signal);
    const isHere = playing.find(id) !== undefined;
    const now = isHere ? undefined : await storedStatus(id);
    if (now !== undefined && isElsewhere(now)) return askOwner(now, to, signal);
    if (now === undefined || isOpen(now)) await playing.direct(id, to);
    return status(id, to === "resume" ? 0 : patience, signal);
  }

  async function askOwner({ run_id, state }: RunStatus, to: Direction, signal: AbortSignal): Promise<RunStatus> {
    await catalogue.current(signal);
    const isSo = state === (to === "pause" ? "paused" : "running") && to !== "cancel";
    if (!isSo || catalogue.wantedOf(run_id) !== undefined) {
      const { seq } = await context.emit("orchestration:directed", { run_id, to });
      const until = AbortSignal.any([signal, AbortSignal.timeout(patience * 1000)]);
      const types = [...endings, ...(to === "cancel" ? [] : [`orchestration:${to}d`])];
      await playing.told(run_id, types, seq, until).catch(() => {}); // then as it is now
    }
    return storedStatus(run_id);
  }

  const isOpen = ({ state }: RunStatus) => state === "running" || state === "paused";

  /** Does another daemon play it, or keep it paused? */
  const isElsewhere = (run: RunStatus) => isOpen(run) && playing.find(run.run_id) === undefined && !playing.leases.holds(run.owner);

  /** As the journal tells it. */
  async function storedStatus(id: string): Promise<RunStatus> {
    const entries = await journals.readClosed(id);
    const [started, last] = [entries[0] as StartedEntry, entries.at(-1) as RunEntry];
    if (last.type !== "ended") {
      const { usage, isPaused } = playedOf(entries);
      const directed = catalogue.wantedOf(id);
      const isDone = directed === (isPaused ? "pause" : "resume");
      const now = { ...recordOf(started, isPaused ? "paused" : "running"), steps: usage.steps, usage };
      return directed === undefined || isDone ? now : { ...now, directed };
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

  return { status, direct };
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
