/** Agents that a statement names by their group. */
import { agentsIn, unfit } from "./fit.ts";
import type { Place } from "./place.ts";

/** Reply of `agent:list`, as far as it is used here. */
export interface Member {
  readonly agent_id: string;
  readonly state: string;
}

/** `{group: "name"}` */
export function groupIn(value: unknown): string | undefined {
  const { group, ...others } = (value !== null && typeof value === "object" ? value : {}) as { group?: unknown };
  return typeof group === "string" && group !== "" && Object.keys(others).length === 0 ? group : undefined;
}

/**
 * Ids of agents: what SPAWN gave, ids, a list of these, or a group that the run has spawned, in that order.
 * @param onlyLiving leaves out those of the group that have ended
 * @throws CodedError EXPRESSION_FAILED
 */
export async function agentsOf(value: unknown, at: Place, onlyLiving = false): Promise<string[]> {
  const group = groupIn(value);
  if (group === undefined) return agentsIn(value, at.line);
  const members = (await at.step({ kind: "members", group })) as Member[];
  const chosen = members.filter(({ state }) => !onlyLiving || state === "active" || state === "paused");
  if (chosen.length > 0) return chosen.map(({ agent_id }) => agent_id);
  throw unfit(`Line ${at.line}: the run has no agents in the group "${group}".`, at.line);
}
