/** How agents end, pause and go on, and what that means for those that depend on them. */
import { CodedError } from "../../daemon/errors.ts";
import type { Call, MessageMeta } from "../../daemon/module.ts";
import { unlessAborted } from "../../daemon/unless-aborted.ts";
import { aboutOf, type Home, nameOf, placeOf, tell } from "./home.ts";
import { answerWithError } from "./messages.ts";
import { type AgentRecord, isLiving } from "./registry.ts";

/** How the end of a run is that of its agent. */
export const reachedBy = { completed: "completed", failed: "failed", cancelled: "terminated" } as const;
type End = (typeof reachedBy)[keyof typeof reachedBy];

interface Ending {
  readonly result?: unknown;
  readonly error?: unknown;
  readonly reason?: string;
}

/**
 * Tells how an agent ended, once; then whoever waits for its answer, then its children. Repeated after a failure, it goes on
 * where it stopped.
 */
export async function finish(home: Home, agent_id: string, reached: End, ending: Ending, place: Omit<MessageMeta, "id">): Promise<void> {
  const found = home.registry.agents.get(agent_id);
  if (found !== undefined && isLiving(found)) {
    const { result, error, reason } = ending;
    const detail = reached === "completed" ? { result } : reached === "failed" ? { error } : { ...(reason && { reason }) };
    await tell(home, `agent:${reached}`, { ...aboutOf(found), ...detail }, place, `${agent_id}/ended`);
  }
  home.workers.stop(agent_id);
  await refuseMessages(home, agent_id, reached);
  await endChildren(home, agent_id, place);
}

/** Nobody waits for the answer of an agent that has ended. @param reached how it ended */
export async function refuseMessages(home: Home, agent_id: string, reached: string): Promise<void> {
  for (const message of [...(home.registry.pending.get(agent_id)?.values() ?? [])]) {
    await answerWithError(home, message, {
      code: "AGENT_ENDED",
      message: `The agent ${agent_id} is ${reached} and answered nothing.`,
      details: { agent_id, state: reached },
    });
  }
}

/** @param parent an agent, or a run that no agent plays */
export async function endChildren(home: Home, parent: string, place: Omit<MessageMeta, "id">): Promise<void> {
  const dependent = home.registry.childrenOf(parent).filter(({ outlives_parent }) => outlives_parent === undefined);
  for (const child of dependent) await terminate(home, child, { ...place, agent: child.agent_id }, "the agent that spawned it has ended");
}

/** Children first, so that none outlives the one that answers for it. @returns those that lived until now, the given one last */
export async function terminate(home: Home, one: AgentRecord, place: Omit<MessageMeta, "id">, reason?: string): Promise<string[]> {
  await begun(home, one.agent_id);
  const terminated: string[] = [];
  for (const child of home.registry.childrenOf(one.agent_id)) {
    terminated.push(...(await terminate(home, child, { ...place, agent: child.agent_id }, reason)));
  }
  const found = home.registry.agents.get(one.agent_id);
  if (found === undefined || !isLiving(found)) return terminated;
  if (found.run_id !== undefined) await home.context.call("orchestration:cancel", { run_id: found.run_id }, { cause: place });
  await finish(home, one.agent_id, "terminated", { ...(reason && { reason }) }, place);
  return [...terminated, one.agent_id];
}

/** Holds an agent, or lets it go on; its messages wait meanwhile. */
export async function setPaused(
  agent_id: string,
  pausing: boolean,
  reason: string | undefined,
  { state: home, context, caller, meta, signal }: Call<Home>,
): Promise<AgentRecord> {
  await home.registry.current(signal);
  await unlessAborted(begun(home, agent_id), signal);
  const found = home.registry.get(agent_id);
  assertMayDirect(home, found, caller);
  if (!isLiving(found)) throw new CodedError("AGENT_ENDED", `The agent ${agent_id} is ${found.state}.`, { agent_id, state: found.state });
  if ((found.state === "paused") === pausing) return found;
  const place = placeOf(meta, agent_id);
  if (found.run_id !== undefined) {
    await context.call(`orchestration:${pausing ? "pause" : "resume"}`, { run_id: found.run_id }, { cause: place });
  }
  const detail = { by: nameOf(caller), ...(reason && { reason }) };
  await tell(home, pausing ? "agent:paused" : "agent:resumed", { ...aboutOf(found), ...detail }, place);
  if (pausing) home.workers.stop(agent_id);
  else home.workers.wake(agent_id);
  return home.registry.get(agent_id);
}

/** Resolves when the run of an agent that is being spawned here has begun, or cannot: what is to be done to it is done to the run. */
async function begun({ beginning }: Home, agent_id: string): Promise<void> {
  await beginning.get(agent_id)?.catch(() => {}); // whoever spawned it is told
}

/** An agent directs itself and those below it. @throws CodedError CAPABILITY_DENIED */
export function assertMayDirect(home: Home, one: AgentRecord, caller: Call<Home>["caller"]): void {
  if (caller.kind !== "agent") return;
  for (
    let at: AgentRecord | undefined = one;
    at !== undefined;
    at = at.parent === undefined ? undefined : home.registry.agents.get(at.parent)
  ) {
    if (at.agent_id === caller.id || at.parent === caller.id) return;
  }
  throw new CodedError("CAPABILITY_DENIED", `${caller.id} may direct itself and the agents below it, not ${one.agent_id}`, {
    caller: caller.id,
    target: one.agent_id,
  });
}
