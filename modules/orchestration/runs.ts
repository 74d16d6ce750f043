/** All runs of this daemon: starts them, keeps their records, resumes after a restart those that were open. */
import { setTimeout as sleep } from "node:timers/promises";
import { intersect } from "../../daemon/capabilities.ts";
import { CodedError, errorTable } from "../../daemon/errors.ts";
import type { Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { retry } from "../../daemon/retry.ts";
import { type StepError, stepErrorOf } from "./interpreter/journal.ts";
import { defaultLimits, type Limits, limitExceeded } from "./interpreter/limits.ts";
import { assertPlayable, loadPattern, type Pattern } from "./pattern.ts";
import { causeOf, type EndedEntry, endedEventId, type RunEntry, recordOf, type StartedEntry, startedEventId } from "./record.ts";
import { Cancelled, playRun, type RunHandle, Suspended } from "./run.ts";
import type { RunRecord, RunState, RunStatus, StartRequest, Usage } from "./schema.ts";

export interface Runs extends AsyncDisposable {
  start(request: StartRequest, caller: Caller, meta: MessageMeta): Promise<RunRecord & { capabilities?: string[] }>;
  /** @param wait seconds to wait for its end */
  status(run: string, wait: number, signal: AbortSignal): Promise<RunStatus>;
  list(filter: { state?: RunState; pattern?: string; agent_id?: string; limit: number }): RunRecord[];
  cancel(run: string, signal: AbortSignal): Promise<RunStatus>;
  journal(run: string): Promise<RunEntry[]>;
}

/** Ended runs that `list` shows; their journals are kept longer. */
const endedRecords = 1000;
const progressMilliseconds = 250;
/** A run stops at once, but for the append that says so. */
const cancelSeconds = 10;

export async function openRuns(context: ModuleContext): Promise<Runs> {
  const records = await context.state.entries<RunRecord>();
  const open = new Map<string, RunHandle & { readonly done: Promise<unknown>; readonly limits: Limits }>();
  const stopping = new AbortController();

  async function start(request: StartRequest, caller: Caller, meta: MessageMeta) {
    const pattern = await loadPattern(context, request.pattern);
    assertPlayable(pattern);
    const profile = request.profile === undefined ? undefined : await profileCapabilities(context, request.profile);
    const parent = openRunOf(caller.kind === "agent" ? caller.id : undefined) ?? openRunOf(meta.run);
    const asked = { ...defaultLimits, ...request.budget };
    // Only an operator sets more than the defaults: an agent has them, or what the run that it plays in has left.
    const limits = parent ? least(asked, leftOf(parent)) : caller.kind === "agent" ? least(asked, defaultLimits) : asked;
    const depth = (parent?.depth ?? 0) + 1;
    if (depth > limits.depth) throw limitExceeded("depth", limits.depth);
    const run_id = context.newId();
    const { id: _, ...cause } = meta;
    const started: StartedEntry = {
      type: "started",
      at: new Date().toISOString(),
      run_id,
      ...(request.agent_id && { agent_id: request.agent_id }),
      ...(parent && { parent_run: parent.run_id }),
      ...(request.name && { name: request.name }),
      depth,
      pattern: pattern.name,
      version: pattern.version as string,
      commit: pattern.commit as string,
      interpreter: "scripted",
      inputs: request.inputs ?? {},
      limits,
      capabilities: [profile, pattern.capabilities, caller.capabilities, request.capabilities].reduce(intersect, undefined),
      cause,
    };
    // Either alone does no harm: a journal that no record names is never played, a record without a journal is dropped.
    const [appended] = await Promise.all([context.journal.append(run_id, 0, started), keep(recordOf(started))]);
    if (appended === "conflict") throw new CodedError("RUN_DIVERGED", `There is a journal of ${run_id} already.`, { run_id });
    const announced = announceStart(started);
    run(pattern, [started]);
    await announced.catch((error: unknown) => {
      open.get(run_id)?.stop(new Cancelled());
      throw error;
    });
    return { ...recordOf(started), ...(started.capabilities && { capabilities: [...started.capabilities] }) };
  }

  /** @param player an agent, or a run */
  const openRunOf = (player: string | undefined): RunRecord | undefined =>
    player === undefined
      ? undefined
      : [...open.keys()].map((id) => records.get(id)).find((record) => record?.run_id === player || record?.agent_id === player);

  /** @throws CodedError RUN_LIMIT_EXCEEDED when nothing is left */
  function leftOf({ run_id }: RunRecord): Limits {
    const { limits, steps, elapsed } = open.get(run_id) as RunHandle & { limits: Limits };
    // The step that starts a run is under way, and not among those that were finished.
    const left = { ...limits, steps: limits.steps - steps - 1, seconds: limits.seconds - elapsed() / 1000 };
    for (const limit of ["steps", "seconds"] as const) if (left[limit] <= 0) throw limitExceeded(limit, limits[limit]);
    return left;
  }

  function run(pattern: Pattern, entries: readonly RunEntry[]): void {
    const started = entries[0] as StartedEntry;
    let reported = performance.now();
    const handle = playRun({
      context,
      pattern,
      entries,
      onStep(steps) {
        if (performance.now() - reported < progressMilliseconds) return;
        reported = performance.now();
        const progress = { ...identityOf(started), steps, milliseconds: handle.elapsed() };
        context.emit("orchestration:progressed", progress, causeOf(started)).catch((error: unknown) => {
          context.log.warn({ run: started.run_id, error }, "progress could not be reported");
        });
      },
    });
    const done = handle.ended.then((ended) => ended && concludeSurely(started, ended)).finally(() => open.delete(started.run_id));
    open.set(started.run_id, Object.assign(handle, { done, limits: started.limits }));
  }

  /** While the log or the state cannot be written, the agent and whoever waits must not be left without the end. */
  async function concludeSurely(started: StartedEntry, ended: EndedEntry): Promise<void> {
    const { run_id } = started;
    const onFailure = (error: unknown) => context.log.warn({ run: run_id, error }, "the end of a run could not be told yet");
    await retry(() => conclude(started, ended), { signal: stopping.signal, onFailure }).catch(() =>
      context.log.info({ run: run_id }, "the end of a run is told at the next start"),
    );
  }

  /** The journal says that the run ended; now everybody else is told. Repeated until it succeeds, also after a crash. */
  async function conclude(started: StartedEntry, ended: EndedEntry): Promise<void> {
    const { state, result, error, usage } = ended;
    const about = { ...identityOf(started), steps: usage.steps, usage, duration_ms: usage.milliseconds };
    const outcome = state === "completed" ? { result } : state === "failed" ? { error } : {};
    await context.emit(`orchestration:${state}`, { ...about, ...outcome }, causeOf(started), { id: endedEventId(started.run_id) });
    await keep(recordOf(started, ended));
    await forgetOldest();
  }

  async function announceStart(started: StartedEntry): Promise<void> {
    const place = { ...started.cause, run: started.run_id, ...(started.agent_id && { agent: started.agent_id }) };
    const { inputs, limits, capabilities } = started;
    const data = { ...identityOf(started), inputs, limits, ...(capabilities && { capabilities }) };
    await context.emit("orchestration:started", data, place, { id: startedEventId(started.run_id) });
  }

  async function keep(record: RunRecord): Promise<void> {
    records.set(record.run_id, record);
    await context.state.put(record.run_id, record);
  }

  async function forgetOldest(): Promise<void> {
    const ended = [...records.values()].filter(({ state }) => state !== "running");
    for (const { run_id } of ended.slice(0, Math.max(0, ended.length - endedRecords))) {
      records.delete(run_id);
      await context.state.delete(run_id);
    }
  }

  async function resume({ run_id }: RunRecord): Promise<void> {
    const entries = await context.journal.read<RunEntry>(run_id);
    const [started, last] = [entries[0], entries.at(-1)];
    if (started?.type !== "started" || last === undefined) {
      records.delete(run_id);
      return context.state.delete(run_id);
    }
    if (last.type === "ended") return conclude(started, last);
    const pattern = await loadPattern(context, started.pattern, started.commit).catch((error: unknown) => stepErrorOf(error));
    if ("code" in pattern) {
      if (errorTable[pattern.code].retryable || pattern.code === "INTERNAL") throw new CodedError(pattern.code, pattern.message);
      return failUnplayed(started, entries, pattern);
    }
    await announceStart(started);
    run(pattern, entries);
  }

  /** The pattern is gone, together with the history that it was pinned to. */
  async function failUnplayed(started: StartedEntry, entries: readonly RunEntry[], error: StepError): Promise<void> {
    const usage = playedSoFar(entries);
    const ended: EndedEntry = { type: "ended", at: new Date().toISOString(), state: "failed", error, usage, judgements: [] };
    if ((await context.journal.append(started.run_id, entries.length, ended)) === "appended") await conclude(started, ended);
  }

  /** Other modules answer only after all have started; a run that cannot go on yet is tried again. */
  async function resumeInTime(record: RunRecord): Promise<void> {
    const onFailure = (error: unknown) => {
      const isStarting = error instanceof CodedError && error.code === "SHUTTING_DOWN";
      if (!isStarting) context.log.error({ run: record.run_id, error }, "a run could not be resumed yet");
    };
    await retry(() => resume(record), { signal: stopping.signal, firstPause: 10, onFailure }).catch(() => {});
  }

  async function readJournal(id: string): Promise<RunEntry[]> {
    const entries = await context.journal.read<RunEntry>(id);
    if (entries.length === 0) throw new CodedError("RUN_NOT_FOUND", `There is no run ${id}.`, { run_id: id });
    return entries;
  }

  async function status(id: string, wait: number, signal: AbortSignal): Promise<RunStatus> {
    const deadline = performance.now() + wait * 1000;
    const handle = await openRun(id, wait, signal);
    if (handle !== undefined) await within((deadline - performance.now()) / 1000, handle.done, signal);
    if (handle !== undefined && open.has(id)) {
      const record = records.get(id) as RunRecord;
      return { ...record, state: "running", steps: handle.steps, usage: { steps: handle.steps, milliseconds: handle.elapsed() } };
    }
    const entries = await readJournal(id);
    const [started, last] = [entries[0] as StartedEntry, entries.at(-1) as RunEntry];
    if (last.type !== "ended") {
      const usage = playedSoFar(entries);
      return { ...recordOf(started), steps: usage.steps, usage };
    }
    const { result, error, judgements, usage } = last;
    return {
      ...recordOf(started, last),
      ...("result" in last && { result }),
      ...(error && { error }),
      judgements,
      steps: usage.steps,
      usage,
    };
  }

  const interrupted = [...records.values()].filter(({ state }) => state === "running");
  const resuming: Map<string, Promise<void>> = new Map(
    interrupted.map((record) => [record.run_id, resumeInTime(record).finally(() => resuming.delete(record.run_id))]),
  );

  /** After a restart a run is open as soon as it was resumed: waits for that at most so many seconds. */
  async function openRun(id: string, wait: number, signal: AbortSignal) {
    const resumed = resuming.get(id);
    if (resumed !== undefined) await within(wait, resumed, signal);
    return open.get(id);
  }

  return {
    start,
    status,
    list: ({ state, pattern, agent_id, limit }) =>
      [...records.values()]
        .filter((record) => state === undefined || record.state === state)
        .filter((record) => pattern === undefined || record.pattern === pattern)
        .filter((record) => agent_id === undefined || record.agent_id === agent_id)
        .sort((left, right) => (left.run_id < right.run_id ? 1 : -1))
        .slice(0, limit),
    async cancel(id, signal) {
      const handle = await openRun(id, cancelSeconds, signal);
      handle?.stop(new Cancelled());
      return status(id, cancelSeconds, signal);
    },
    journal: readJournal,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      for (const handle of open.values()) handle.stop(new Suspended());
      await Promise.allSettled([...resuming.values(), ...[...open.values()].map(({ done }) => done)]);
    },
  };
}

function playedSoFar(entries: readonly RunEntry[]): Usage {
  const played = entries.filter((entry) => entry.type === "steps");
  return { steps: played.reduce((count, { results }) => count + results.length, 0), milliseconds: played.at(-1)?.elapsed ?? 0 };
}

const least = (one: Limits, other: Limits): Limits =>
  Object.fromEntries(Object.entries(one).map(([limit, value]) => [limit, Math.min(value, other[limit as keyof Limits])])) as Limits;

const identityOf = ({ run_id, agent_id, parent_run, pattern, version, commit }: StartedEntry) => ({
  run_id,
  ...(agent_id && { agent_id }),
  ...(parent_run && { parent_run }),
  pattern,
  version,
  commit,
});

async function profileCapabilities(context: ModuleContext, profile: string): Promise<readonly string[] | undefined> {
  const { data } = await context.call<{ data: { capabilities?: string[] } }>("composition:render", {
    name: profile,
    unresolved: "keep",
  });
  return data.capabilities;
}

/** Waits for the work, at most so many seconds. */
async function within(seconds: number, work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (seconds <= 0) return;
  const timeout = new AbortController();
  const timer = sleep(seconds * 1000, undefined, { signal: AbortSignal.any([timeout.signal, signal]) }).catch(() => {});
  try {
    await Promise.race([work, timer]);
  } finally {
    timeout.abort();
  }
}
