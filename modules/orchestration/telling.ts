/** Tells in the event log how runs begin, rest and end. Each event is stored once, however often it is told. */
import type { ModuleContext } from "../../daemon/module.ts";
import { packEntry, packed, type Reference, unpackEntry } from "./contents.ts";
import { causeOf, changedEventId, type EndedEntry, endedEventId, identityOf, type StartedEntry, startedEventId } from "./record.ts";
import type { Usage } from "./schema.ts";

/**
 * From then on the run is durable: the event holds all that its first entry does.
 * @returns the position in the log, from which on the run sees events
 */
export async function tellStart(context: ModuleContext, started: StartedEntry): Promise<number> {
  const { type: _, at: __, cause, ...about } = (await packEntry(context.objects, started)) as StartedEntry;
  const { run_id, agent_id } = about;
  const place = { ...cause, run: run_id, ...(agent_id && { agent: agent_id }) };
  return (await context.emit("orchestration:started", about, place, { id: startedEventId(run_id) })).seq;
}

/** The first entry, as the event of the start tells it; undefined when there is no such event. */
export async function beginningOf(context: ModuleContext, run: string): Promise<StartedEntry | undefined> {
  const stored = await storedBeginningOf(context, run);
  return stored && ((await unpackEntry(context.objects, stored)) as StartedEntry);
}

/** The same with references in place of large contents. */
export async function storedBeginningOf(context: ModuleContext, run: string): Promise<StartedEntry | undefined> {
  const { events } = await context.events.query({ types: ["orchestration:started"], run, limit: 1 });
  const [event] = events;
  if (event === undefined) return undefined;
  const { correlation, hops, causation, traceparent } = event;
  const cause = { correlation, hops, ...(causation && { causation }), ...(traceparent && { traceparent }) };
  return { ...(event.data as Omit<StartedEntry, "type" | "at" | "cause">), type: "started", at: event.time, cause };
}

/** How the run ended is decided when it is told: of several tellings the first counts. @returns that one */
export async function tellEnd(context: ModuleContext, started: StartedEntry, ended: EndedEntry): Promise<EndedEntry> {
  const { state, error, usage, unverified } = ended;
  const about = { ...identityOf(started), steps: usage.steps, usage, duration_ms: usage.milliseconds, ...(unverified && { unverified }) };
  const outcome = state === "completed" ? await packedResult(context, ended.result) : state === "failed" ? { error } : {};
  const { judgements } = ended;
  const options = { id: endedEventId(started.run_id) };
  const told = await context.emit(`orchestration:${state}`, { ...about, ...outcome, judgements }, causeOf(started), options);
  return told.duplicate ? toldBefore(context, ended, started.run_id) : ended;
}

async function toldBefore(context: ModuleContext, ended: EndedEntry, run: string): Promise<EndedEntry> {
  const before = await endingOf(context, run);
  return before === undefined ? ended : ((await unpackEntry(context.objects, before)) as EndedEntry);
}

/** A result that is large is told by where it is; that it is so stands beside it, where no content of a pattern can say it. */
async function packedResult({ objects }: ModuleContext, content: unknown) {
  const result = await packed(objects, content);
  return result === content ? { result } : { result, objects: { result: result as Reference } };
}

export const endings = ["orchestration:completed", "orchestration:failed", "orchestration:cancelled"] as const;

/** The last entry as it is stored, as the event of the end tells it; undefined when there is no such event. */
export async function endingOf(context: ModuleContext, run: string): Promise<EndedEntry | undefined> {
  const [event] = (await context.events.query({ types: endings, run, limit: 1 })).events;
  if (event === undefined) return undefined;
  const { result, objects, error, usage, judgements, unverified } = event.data as EndedEntry & { objects?: Record<string, Reference> };
  const state = event.type.slice(event.type.indexOf(":") + 1) as EndedEntry["state"];
  const content = objects === undefined ? result !== undefined && { result } : { objects };
  const outcome = { ...content, ...(error && { error }), ...(unverified && { unverified }) };
  return { type: "ended", at: event.time, state, ...outcome, usage, judgements };
}

/** @param entry index in the journal of what is told */
export async function tellChange(
  context: ModuleContext,
  started: StartedEntry,
  change: "paused" | "resumed",
  usage: Usage,
  entry: number,
): Promise<void> {
  const options = { id: changedEventId(started.run_id, entry) };
  await context.emit(`orchestration:${change}`, { ...identityOf(started), usage }, causeOf(started), options);
}
