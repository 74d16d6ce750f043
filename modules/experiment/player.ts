/** Plays an experiment's runs, one after another, until there is a winner or the runs are used up; goes on after a restart. */
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import type { ModuleContext } from "../../daemon/module.ts";
import { assign } from "./assign.ts";
import { evidenceOf, undecided } from "./evidence.ts";
import type { Experiment } from "./schema.ts";

export interface PlayerOptions {
  readonly context: ModuleContext;
  readonly signal: AbortSignal;
  /** Makes what changed of it durable. */
  keep(experiment: Experiment): Promise<void>;
}

const statusWait = 30; // seconds
/** Milliseconds between two looks at a run that is held: nobody can wait for it. */
const pausedWait = 1_000;
const scored = z.looseObject({ score: z.number() });
const runStatus = z.object({
  state: z.string(),
  result: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  usage: z.object({ milliseconds: z.number() }),
});
type Ended = z.output<typeof runStatus>;

/** @returns how it ended: decided or exhausted. @throws the signal's reason, or what a command answered */
export async function play(experiment: Experiment, { context, signal, keep }: PlayerOptions): Promise<"decided" | "exhausted"> {
  for (let isFirst = true; experiment.played < experiment.runs; isFirst = false) {
    signal.throwIfAborted();
    experiment.current ??= await begin(experiment, context, isFirst);
    await keep(experiment);
    const { variant, decision_id, run_id } = experiment.current;
    const ended = await endOf(run_id, context, signal);
    await tell(context, decision_id, ended);
    experiment.played++;
    if (ended.error !== undefined) {
      experiment.failed = (experiment.failed ?? 0) + 1;
      experiment.last_failure = { run_id, ...(variant && { variant }), code: ended.error.code, message: ended.error.message };
    }
    experiment.current = undefined;
    const { verdict } = await evidenceOf(experiment, context);
    if (verdict !== undecided) return "decided";
    await keep(experiment);
  }
  return "exhausted";
}

/**
 * The same number of the same experiment gets the same variant and one run: both have it as their correlation, by which a run is found
 * that was started before a crash and not noted.
 * @param isFirst of those that this process plays: only then there may be such a run
 */
async function begin(experiment: Experiment, context: ModuleContext, isFirst: boolean) {
  const { id, name, played, inputs, by } = experiment;
  const correlation = `${id}/${played}`;
  const { variant, decision_id } = await assign(experiment, context, { cause: { id: correlation, correlation } });
  const started = isFirst ? await startedBefore(correlation, context) : undefined;
  if (started !== undefined) return { variant, decision_id, run_id: started };
  const request = { pattern: variant, inputs, name: `${name} ${played + 1}` };
  const { run_id } = await context.call<{ run_id: string }>("orchestration:start", request, { caller: by, cause: { correlation } });
  return { variant, decision_id, run_id };
}

async function startedBefore(correlation: string, { events }: ModuleContext): Promise<string | undefined> {
  const [started] = (await events.query({ types: ["orchestration:started"], correlation, limit: 1 })).events;
  return started?.run;
}

async function endOf(run_id: string, context: ModuleContext, signal: AbortSignal): Promise<Ended> {
  for (;;) {
    signal.throwIfAborted();
    const status = runStatus.parse(await context.call("orchestration:status", { run_id, wait: statusWait }, { signal }));
    if (status.state === "paused") await pause(pausedWait, undefined, { signal });
    else if (status.state !== "running") return status;
  }
}

/** A cancelled run says nothing about its pattern. */
async function tell(context: ModuleContext, decision_id: string, { state, result, usage }: Ended): Promise<void> {
  if (state === "cancelled") return;
  const success = state === "completed";
  const score = success ? scored.safeParse(result).data?.score : undefined;
  await context.call("policy:outcome", {
    decision_id,
    success,
    latency_ms: usage.milliseconds,
    ...(score !== undefined && { reward: score }),
  });
}
