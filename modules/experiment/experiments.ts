/** All experiments of this daemon: their records, and those that play. */
import { CodedError, errorTable } from "../../daemon/errors.ts";
import type { Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { retry } from "../../daemon/retry.ts";
import { checkVariants } from "./check-variants.ts";
import { evidenceOf, slotOf } from "./evidence.ts";
import { play } from "./player.ts";
import type { Experiment, StartRequest, Status } from "./schema.ts";

export interface Experiments extends AsyncDisposable {
  start(request: StartRequest, caller: Caller, meta: MessageMeta): Promise<Status>;
  /** @throws CodedError EXPERIMENT_NOT_FOUND */
  get(name: string): Experiment;
  status(experiment: Experiment): Promise<Status>;
  all(): Promise<Status[]>;
  stop(name: string): Promise<Status>;
}

const keyOf = (name: string) => `experiment.${name}`;

export async function openExperiments(context: ModuleContext): Promise<Experiments> {
  const experiments = new Map<string, Experiment>();
  for (const one of (await context.state.entries<Experiment>()).values()) experiments.set(one.name, one);
  const starting = new Map<string, Promise<void>>();
  const playing = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>();
  const keep = async (experiment: Experiment) => void (await context.state.put(keyOf(experiment.name), experiment));

  async function status(experiment: Experiment): Promise<Status> {
    const { name, state, mode, runs, played, failed = 0, last_failure, reason, started_at, ended_at } = experiment;
    const evidence = experiment.evidence ?? (await evidenceOf(experiment, context));
    const told = { ...(last_failure && { last_failure }), ...(reason && { reason }), ...(ended_at && { ended_at }) };
    return { name, state, mode, ...evidence, runs, played, failed, started_at, ...told };
  }

  async function conclude(experiment: Experiment, state: Experiment["state"]): Promise<void> {
    const evidence = await evidenceOf(experiment, context);
    Object.assign(experiment, { state, evidence, ended_at: new Date().toISOString() });
    await keep(experiment);
    const data = { name: experiment.name, state, ...evidence };
    await context.emit("experiment:concluded", data, {}, { id: `${experiment.id}/concluded` });
  }

  /** Repeated while the other modules do not answer; what cannot succeed ends it, with the reason. */
  function begin(experiment: Experiment): void {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, context.signal]);
    const attempt = async () => {
      try {
        await conclude(experiment, await play(experiment, { context, signal, keep }));
      } catch (error) {
        if (signal.aborted || !(error instanceof CodedError) || errorTable[error.code].retryable) throw error;
        experiment.reason = `${error.code}: ${error.message}`;
        await conclude(experiment, "failed");
      }
    };
    const onFailure = (error: unknown) => {
      const isStarting = error instanceof CodedError && error.code === "SHUTTING_DOWN";
      if (!isStarting && !signal.aborted) context.log.warn({ error, experiment: experiment.name }, "an experiment cannot go on yet");
    };
    const done = retry(attempt, { signal, firstPause: 10, onFailure })
      .catch(() => undefined) // stopped
      .finally(() => playing.delete(experiment.name));
    playing.set(experiment.name, { stop, done });
  }

  /** Durable and told when it resolves; if it cannot be, there is no such experiment. */
  async function establish(experiment: Experiment, meta: MessageMeta): Promise<void> {
    const { id, name, variants, mode, runs } = experiment;
    try {
      if (runs > 0) await checkVariants(variants, context, meta);
      await context.call("policy:configure", { slot: slotOf(experiment), learn: [] });
      await keep(experiment);
      await context.emit("experiment:started", { name, variants, mode, runs }, meta, { id: `${id}/started` });
    } catch (error) {
      await context.state.delete(keyOf(name)).finally(() => experiments.delete(name));
      throw error;
    }
    if (runs > 0) begin(experiment);
  }

  const get = (name: string): Experiment => {
    const found = experiments.get(name);
    if (found === undefined) throw new CodedError("EXPERIMENT_NOT_FOUND", `There is no experiment ${name}.`, { name });
    return found;
  };

  for (const one of experiments.values()) if (one.state === "running" && one.runs > 0) begin(one);

  return {
    get,
    status,
    all: () => Promise.all([...experiments.values()].sort((left, right) => (left.name < right.name ? -1 : 1)).map(status)),
    async start(request, caller, meta) {
      const { name } = request;
      if (experiments.has(name)) throw new CodedError("EXPERIMENT_EXISTS", `There is an experiment ${name} already.`, { name });
      const { kind, id, capabilities } = caller;
      const by = { kind, id, ...(capabilities && { capabilities }) };
      const experiment: Experiment = {
        ...request,
        id: context.newId(),
        by,
        state: "running",
        played: 0,
        started_at: new Date().toISOString(),
      };
      experiments.set(name, experiment);
      const started = establish(experiment, meta);
      starting.set(
        name,
        started.catch(() => {}),
      );
      await started.finally(() => starting.delete(name));
      return status(experiment);
    },
    async stop(name) {
      await starting.get(name); // whoever heard of it may stop it
      const experiment = get(name);
      const active = playing.get(name);
      active?.stop.abort();
      await active?.done;
      if (experiment.state === "running") await conclude(experiment, "stopped");
      return status(experiment);
    },
    async [Symbol.asyncDispose]() {
      for (const { stop } of playing.values()) stop.abort();
      await Promise.all([...playing.values()].map(({ done }) => done));
    },
  };
}
