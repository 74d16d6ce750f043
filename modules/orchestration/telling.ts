/** Tells in the event log how runs begin, rest and end. Each event is stored once, however often it is told. */
import type { ModuleContext } from "../../daemon/module.ts";
import { packed } from "./contents.ts";
import {
  causeOf,
  changedEventId,
  detailsOf,
  type EndedEntry,
  endedEventId,
  identityOf,
  type StartedEntry,
  startedEventId,
} from "./record.ts";
import type { Usage } from "./schema.ts";

/** @returns the position in the log, from which on the run sees events */
export async function tellStart(context: ModuleContext, started: StartedEntry): Promise<number> {
  const { run_id, agent_id, cause, limits, capabilities } = started;
  const inputs = await packed(context.objects, started.inputs);
  const data = { ...identityOf(started), ...detailsOf(started), inputs, limits, ...(capabilities && { capabilities }) };
  const place = { ...cause, run: run_id, ...(agent_id && { agent: agent_id }) };
  return (await context.emit("orchestration:started", data, place, { id: startedEventId(run_id) })).seq;
}

export async function tellEnd(context: ModuleContext, started: StartedEntry, ended: EndedEntry): Promise<number> {
  const { state, error, usage } = ended;
  const about = { ...identityOf(started), steps: usage.steps, usage, duration_ms: usage.milliseconds };
  const outcome = state === "completed" ? { result: await packed(context.objects, ended.result) } : state === "failed" ? { error } : {};
  const options = { id: endedEventId(started.run_id) };
  return (await context.emit(`orchestration:${state}`, { ...about, ...outcome }, causeOf(started), options)).seq;
}

/** @param entry index in the journal of what is told */
export async function tellChange(
  context: ModuleContext,
  started: StartedEntry,
  change: "paused" | "resumed",
  usage: Usage,
  entry: number,
): Promise<number> {
  const options = { id: changedEventId(started.run_id, entry) };
  return (await context.emit(`orchestration:${change}`, { ...identityOf(started), usage }, causeOf(started), options)).seq;
}

/** What the event of its start tells of a run that has no journal; undefined when there is no such event. */
export async function beginningOf(context: ModuleContext, run: string): Promise<StartedEntry | undefined> {
  const { events } = await context.events.query({ types: ["orchestration:started"], run, limit: 1 });
  const [event] = events;
  if (event === undefined) return undefined;
  const { correlation, hops, causation, traceparent } = event;
  const cause = { correlation, hops, ...(causation && { causation }), ...(traceparent && { traceparent }) };
  return { ...(event.data as Omit<StartedEntry, "type" | "at" | "cause">), type: "started", at: event.time, cause };
}
