/** What an agent is doing now. */
import type { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Home } from "./home.ts";
import { type AgentRecord, isLiving } from "./registry.ts";
import type { activity } from "./wire.ts";

type Activity = z.output<typeof activity>;

/** The part of `orchestration:status` that says where a run stands. */
interface Standing {
  readonly state: string;
  readonly line?: number;
  readonly statement?: string;
  readonly waiting_for?: string;
}

export async function activityOf({ registry, workers, context }: Home, one: AgentRecord): Promise<Activity> {
  const messages = registry.pending.get(one.agent_id)?.size ?? 0;
  const run = one.run_id === undefined ? {} : { run_id: one.run_id };
  if (!isLiving(one)) return { is: "ended", ...run, messages };
  if (one.state === "paused") return { is: "paused", ...run, messages };
  if (one.run_id === undefined) return { is: workers.isThinking(one.agent_id) ? "thinking" : "idle", messages };
  const standing = await standingOf(context, one.run_id);
  const { line, statement, waiting_for } = standing;
  return {
    is: waiting_for === undefined ? "playing" : "waiting",
    ...run,
    ...(line !== undefined && { line }),
    ...(statement !== undefined && { statement }),
    ...(waiting_for !== undefined && { waiting_for }),
    messages,
  };
}

async function standingOf(context: Home["context"], run_id: string): Promise<Partial<Standing>> {
  try {
    return await context.call<Standing>("orchestration:status", { run_id });
  } catch (error) {
    // A run that began this moment, or whose journal is gone: nothing is known of it.
    if (error instanceof CodedError && error.code === "RUN_NOT_FOUND") return {};
    throw error;
  }
}
