/** What an agent is doing now. */
import type { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Home } from "./home.ts";
import { type AgentRecord, isLiving } from "./registry.ts";
import type { activity } from "./wire.ts";

type Activity = z.output<typeof activity>;

/** The part of `orchestration:status` that says what a run does. */
interface Standing {
  readonly state?: string;
  readonly doing?: readonly { readonly line: number; readonly what: string; readonly since: string }[];
}

/** Of the steps of a run, those in which a model is asked. */
const thought = /^(THINK|a judgement: |(CALL|EMIT|CONSIDER) model:generate)/;

export async function activityOf({ registry, workers, context }: Home, one: AgentRecord): Promise<Activity> {
  const messages = registry.pending.get(one.agent_id)?.size ?? 0;
  const run = one.run_id === undefined ? {} : { run_id: one.run_id };
  if (!isLiving(one)) return { is: "ended", ...run, messages };
  if (one.state === "paused") return { is: "paused", ...run, messages };
  if (one.run_id === undefined) return { is: workers.isThinking(one.agent_id) ? "thinking" : "idle", messages };
  const { state, doing = [] } = await standingOf(context, one.run_id);
  if (state === "paused") return { is: "paused", ...run, messages };
  const isWaiting = doing.length > 0 && doing.every(({ what }) => what.startsWith("AWAIT"));
  const isThinking = doing.some(({ what }) => thought.test(what));
  return {
    is: isThinking ? "thinking" : isWaiting ? "waiting" : "playing",
    ...run,
    steps: doing.map(({ line, what, since }) => ({ line, what, since })),
    messages,
  };
}

async function standingOf(context: Home["context"], run_id: string): Promise<Partial<Standing>> {
  try {
    return await context.call<Standing>("orchestration:status", { run_id });
  } catch (error) {
    // A run that began this moment, or whose journal is gone: nothing is known of it.
    if (error instanceof CodedError && (error.code === "RUN_NOT_FOUND" || error.code === "RUN_DELETED")) return {};
    throw error;
  }
}
