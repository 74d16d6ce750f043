/** What the parts of the module share, and how an event of an agent is told. */
import type { Leases } from "../../daemon/leases.ts";
import type { Caller, MessageMeta, ModuleContext, PromptStream } from "../../daemon/module.ts";
import type { Profiles } from "./profile.ts";
import type { AgentRecord, Registry } from "./registry.ts";
import type { Message } from "./wire.ts";
import type { Workers } from "./workers.ts";

/** The events of the domain `approval`, as far as they are used here. */
export interface Approval {
  readonly id: string;
  readonly state: string;
  readonly hash: string;
  readonly agent_id?: string;
  readonly for?: string;
  readonly action: { readonly ask?: string };
  readonly options?: readonly unknown[];
  readonly decision?: string;
  readonly option?: unknown;
}

/** The module's state. */
export interface Home extends AsyncDisposable {
  readonly context: ModuleContext;
  readonly registry: Registry;
  readonly profiles: Profiles;
  readonly workers: Workers;
  /** Which agents are this daemon's: it answers their messages, and begins their runs. */
  readonly leases: Leases;
  /** Agents that are about to be spawned, by parent: they count as its children already. */
  readonly expected: Map<string, number>;
  /** Runs that are being started, by agent: whoever repeats the request waits for the same. */
  readonly beginning: Map<string, Promise<string>>;
  /** Those who wait for the reply to a message. */
  readonly replies: Map<string, (reply: Message) => void>;
  /** Whoever prompted an agent last over the network, and waits. */
  readonly prompts: Map<string, PromptStream>;
  /** Those who wait for a human's decision, by its request. */
  readonly decisions: Map<string, (approval: Approval) => void>;
  /** Aborted when the module stops. */
  readonly stopping: AbortSignal;
}

/** Where an event about this agent stands. */
export const placeOf = ({ id: _, ...meta }: MessageMeta, agent_id: string): Omit<MessageMeta, "id"> => ({ ...meta, agent: agent_id });

/** As it stands in events and replies: an agent by its id. */
export const nameOf = ({ kind, id }: Caller): string => (kind === "agent" ? id : `${kind}/${id}`);

/** Durable when it resolves, and known here. @param id fixed, so that it is told once */
export async function tell({ context, registry }: Home, type: string, data: object, place: Omit<MessageMeta, "id">, id?: string) {
  const { seq } = await context.emit(type, data, place, id === undefined ? {} : { id });
  registry.apply({ type, data, time: new Date().toISOString(), seq }, place);
}

/** What every event about an agent says. */
export const aboutOf = ({ agent_id, name, parent, run_id }: AgentRecord) => ({
  agent_id,
  ...(name && { name }),
  ...(parent && { parent }),
  ...(run_id && { run_id }),
});
