/** The agents that are known: their records, what each may do, and how each ended. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { MessageMeta, ModuleContext } from "../../daemon/module.ts";

export const agent = z.object({
  agent_id: z.string(),
  name: z.string().optional(),
  profile: z.string(),
  profile_commit: z.string(),
  /** The agent that spawned it. */
  parent: z.string().optional(),
  pattern: z.string().optional(),
  task: z.string().optional(),
  run_id: z.string().optional(),
  state: z.enum(["active", "completed", "failed", "terminated"]),
  capabilities: z.array(z.string()).optional().describe("absent = not restricted"),
  spawned_at: z.string(),
  ended_at: z.string().optional(),
});
export type Agent = z.infer<typeof agent>;

export interface Known {
  readonly agents: Map<string, Agent>;
}
export interface Agents extends Known, AsyncDisposable {}

/** Ended agents that are remembered. */
const endedAgents = 1000;

/** How the end of a run is that of its agent. */
export const reachedBy = { completed: "completed", failed: "failed", cancelled: "terminated" } as const;

export interface Ending {
  readonly agent_id: string;
  readonly run_id?: string | undefined;
  readonly result?: unknown;
  readonly error?: unknown;
}

/** Tells how an active agent ended, once. */
export async function finish(
  known: Known,
  context: ModuleContext,
  reached: Exclude<Agent["state"], "active">,
  { agent_id, run_id, result, error }: Ending,
  place: Partial<MessageMeta>,
): Promise<void> {
  const found = known.agents.get(agent_id);
  if (found?.state !== "active") return;
  const { name, parent } = found;
  const about = { agent_id, ...(run_id && { run_id }), ...(name && { name }), ...(parent && { parent }) };
  const detail = reached === "completed" ? { result } : reached === "failed" ? { error } : {};
  await context.emit(`agent:${reached}`, { ...about, ...detail }, place, { id: endedEventId(agent_id) });
  await end(known, context, known.agents.get(agent_id) ?? found, reached);
}

/** Fixed, so that the end of an agent is told once. */
const endedEventId = (agent_id: string): string => `${agent_id}/ended`;

export const placeOf = ({ id: _, ...meta }: MessageMeta, agent_id: string): Partial<MessageMeta> => ({ ...meta, agent: agent_id });

async function end(state: Known, context: ModuleContext, found: Agent, reached: Agent["state"]): Promise<void> {
  await keep(state, context, { ...found, state: reached, ended_at: new Date().toISOString() });
  const over = [...state.agents.values()].filter((one) => one.state !== "active");
  for (const { agent_id } of over.slice(0, Math.max(0, over.length - endedAgents))) await forget(state, context, agent_id);
}

export async function keep({ agents }: Known, context: ModuleContext, one: Agent): Promise<void> {
  agents.set(one.agent_id, one);
  admit(context, one);
  await context.state.put(one.agent_id, one);
}

export async function forget({ agents }: Known, context: ModuleContext, agent_id: string): Promise<void> {
  agents.delete(agent_id);
  context.setAgentCapabilities(agent_id, undefined);
  await context.state.delete(agent_id);
}

/** Messages in the name of an agent are taken while it is active, and held to what it may do. */
export function admit(context: ModuleContext, { agent_id, state, capabilities }: Agent): void {
  context.setAgentCapabilities(agent_id, state === "active" ? (capabilities ?? ["*"]) : undefined);
}

export function find({ agents }: Agents, agent_id: string): Agent {
  const found = agents.get(agent_id);
  if (found === undefined) throw new CodedError("AGENT_NOT_FOUND", `There is no agent ${agent_id}.`, { agent_id });
  return found;
}

export const childrenOf = ({ agents }: Agents, agent_id: string): Agent[] =>
  [...agents.values()].filter(({ parent }) => parent === agent_id);
