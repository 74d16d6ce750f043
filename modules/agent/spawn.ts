/** Making an agent, and undoing what a failure or a stop of the daemon left half made. */
import { z } from "zod";
import { intersect } from "../../daemon/capabilities.ts";
import { CodedError } from "../../daemon/errors.ts";
import type { Call, Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { retry } from "../../daemon/retry.ts";
import { type Agent, type Agents, finish, forget, type Known, keep, placeOf, reachedBy } from "./agents.ts";

export const spawnRequest = z.strictObject({
  profile: z.string(),
  pattern: z.string().optional(),
  task: z.string().optional().describe("given to the pattern as the variable task"),
  inputs: z.record(z.string(), z.unknown()).optional(),
  interpreter: z.enum(["scripted", "llm", "hybrid"]).optional(),
  model: z.string().optional().describe("for the interpreters that think"),
  budget: z.record(z.string(), z.unknown()).optional(),
  capabilities: z.array(z.string()).optional().describe("allows less than the profile does"),
  name: z.string().max(200).optional(),
});
type SpawnRequest = z.output<typeof spawnRequest>;

/** Durable when it resolves; a failure leaves no agent and no run behind. */
export async function spawn(
  request: SpawnRequest,
  { state, context, caller, meta }: Call<Agents>,
): Promise<{ agent_id: string; run_id?: string }> {
  const profile = await loadProfile(context, request.profile);
  const agent_id = context.newId();
  const capabilities = [profile.capabilities, caller.capabilities, request.capabilities].reduce(intersect, undefined);
  const spawned: Agent = {
    agent_id,
    ...(request.name && { name: request.name }),
    profile: request.profile,
    profile_commit: profile.commit,
    ...(caller.kind === "agent" && { parent: caller.id }),
    ...(request.pattern && { pattern: request.pattern }),
    ...(request.task && { task: request.task }),
    state: "active",
    ...(capabilities && { capabilities: [...capabilities] }),
    spawned_at: new Date().toISOString(),
  };
  await keep(state, context, spawned);
  let run: StartedRun | undefined;
  try {
    if (request.pattern !== undefined) run = await startRun(state, spawned, request, context, caller, meta);
    const playing = { ...spawned, ...(run && { run_id: run.run_id }), ...(run?.capabilities && { capabilities: run.capabilities }) };
    await context.emit("agent:spawned", playing, placeOf(meta, agent_id));
    // A short run may have ended by now, and its end been noted.
    const { state: reached, ended_at } = state.agents.get(agent_id) ?? spawned;
    await keep(state, context, { ...playing, state: reached, ...(ended_at && { ended_at }) });
    return { agent_id, ...(run && { run_id: run.run_id }) };
  } catch (error) {
    // What cannot be undone now is settled at the next start.
    await Promise.allSettled([forget(state, context, agent_id), run && cancelRun(context, run.run_id, placeOf(meta, agent_id))]);
    throw error;
  }
}

/** A run that nobody was told of must not play on. It stops even where its end cannot be recorded at present. */
async function cancelRun(context: ModuleContext, run_id: string, cause: Partial<MessageMeta>): Promise<void> {
  await context.call("orchestration:cancel", { run_id }, { cause }).catch((error: unknown) => {
    context.log.warn({ run: run_id, error }, "the run of an agent that could not be spawned did not say that it ended");
  });
}

/** Ends an agent whose spawn a stop of the daemon cut short; repeated, since other modules answer only after all have started. */
export async function settleInTime(known: Known, context: ModuleContext, one: Agent, signal: AbortSignal): Promise<void> {
  const onFailure = (error: unknown) => {
    const isStarting = error instanceof CodedError && error.code === "SHUTTING_DOWN";
    if (!isStarting) context.log.warn({ agent: one.agent_id, error }, "an agent that was being spawned could not be settled yet");
  };
  await retry(() => settle(known, context, one), { signal, firstPause: 10, onFailure });
}

/** The daemon stopped while it spawned this agent, and answered nobody: the run is cancelled, or never began. */
async function settle(known: Known, context: ModuleContext, { agent_id }: Agent): Promise<void> {
  const place = { agent: agent_id };
  const { runs } = await context.call<{ runs: { run_id: string }[] }>("orchestration:list", { agent_id });
  for (const { run_id } of runs) {
    const { state, result, error } = await context.call<RunEnd>("orchestration:cancel", { run_id }, { cause: place });
    if (state === "running") throw new CodedError("REQUEST_TIMEOUT", `The run ${run_id} has not ended yet.`, { run_id });
    await finish(known, context, reachedBy[state], { agent_id, run_id, result, error }, place);
  }
  const error = { code: "SHUTTING_DOWN", message: "The daemon stopped before the agent's run began." };
  await finish(known, context, "failed", { agent_id, error }, place);
}

/** Reply of `orchestration:cancel`, as far as it is used here. */
interface RunEnd {
  readonly state: "running" | keyof typeof reachedBy;
  readonly result?: unknown;
  readonly error?: unknown;
}

interface StartedRun {
  readonly run_id: string;
  readonly capabilities?: string[];
}

/** The right to spawn is the right to start the run, so the module itself asks; the run is part of the parent's. */
async function startRun(
  { agents }: Known,
  { agent_id, capabilities, parent }: Agent,
  { pattern, task, inputs, interpreter, budget, name }: SpawnRequest,
  context: ModuleContext,
  { kind, id }: Caller,
  meta: MessageMeta,
): Promise<StartedRun> {
  const request = {
    pattern,
    agent_id,
    inputs: { ...(task !== undefined && { task }), ...inputs },
    ...(interpreter && { interpreter }),
    ...(budget && { budget }),
    ...(capabilities && { capabilities }),
    ...(name && { name }),
  };
  const run = (parent === undefined ? undefined : agents.get(parent)?.run_id) ?? meta.run;
  const cause = { ...placeOf(meta, agent_id), ...(run && { run }) };
  // The limits of a run depend on who wants it; what it may do stands in the request.
  return context.call("orchestration:start", request, { cause, ...(kind === "agent" && { caller: { kind, id } }) });
}

async function loadProfile(context: ModuleContext, name: string): Promise<{ commit: string; capabilities?: string[] }> {
  const { type, commit, data } = await context.call<{ type: string; commit: string; data: { capabilities?: string[] } }>(
    "composition:render",
    { name, unresolved: "keep" },
  );
  if (type !== "profile") throw new CodedError("COMPOSITION_INVALID", `${name} is a ${type}; an agent needs a profile.`, { name, type });
  return { commit, capabilities: data.capabilities };
}
