/** The effects of a run in the daemon: commands, on behalf of the run's agent and held to its capabilities (invariant 7). */
import { setTimeout as sleep } from "node:timers/promises";
import type { ModuleContext } from "../../daemon/module.ts";
import type { Effect, Effects } from "./interpreter/effects.ts";
import { causeOf, type StartedEntry } from "./record.ts";

export function daemonEffects(context: ModuleContext, run: StartedEntry): Effects {
  const caller = { kind: "agent", id: run.agent_id ?? run.run_id, capabilities: run.capabilities } as const;
  const cause = causeOf(run);

  /** The id of the message is the key under which a module recognises a repetition. */
  const call = <Result>(command: string, input: unknown, step: string, signal?: AbortSignal): Promise<Result> =>
    context.call<Result>(command, input, { caller, cause: { ...cause, id: `${run.run_id}/${step}` }, signal });

  function perform(effect: Effect, step: string, signal: AbortSignal): Promise<unknown> {
    const key = `${run.run_id}/${step}`;
    switch (effect.kind) {
      case "emit": {
        const { event, data, delay } = effect;
        return call(
          "event:emit",
          { event, id: key, ...(data !== undefined && { data }), ...(delay !== undefined && { delay }) },
          step,
          signal,
        );
      }
      case "call":
        return call(effect.command, effect.input, step, signal);
      case "run":
        return call("tool:call", { name: effect.tool, arguments: effect.input, idempotency_key: key }, step, signal);
      case "choose": {
        const { slot, context: features, candidates } = effect;
        const described = candidates.map((candidate) => (typeof candidate === "string" ? { id: candidate } : candidate));
        return call("policy:select", { slot, candidates: described, ...(features !== undefined && { context: features }) }, step, signal);
      }
      case "outcome":
        return call("policy:outcome", effect.input, step, signal);
      case "track": {
        const about = { pattern: run.pattern, run_id: run.run_id, ...(run.agent_id && { agent_id: run.agent_id }) };
        return call("composition:track_decision", { ...about, ...effect.input }, step, signal);
      }
      case "sleep":
        return sleep(effect.milliseconds, undefined, { signal });
    }
  }

  return {
    // A tool or command that is slow to notice the end of the run does not hold it up.
    perform: (effect, step, signal) => untilAborted(perform(effect, step, signal), signal),
    isRead: (effect) => effect.kind === "sleep" || (effect.kind === "call" && context.isRead(effect.command)),
    async isRepeatable(effect) {
      switch (effect.kind) {
        case "call":
          return context.isRead(effect.command);
        case "emit":
          return context.isRead(effect.event) || !context.isCommand(effect.event);
        case "run":
          return isIdempotentTool(context, effect.tool);
        case "sleep":
        case "choose":
        case "outcome":
        case "track":
          return true;
      }
    },
  };
}

async function untilAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** A tool that does not exist cannot have done anything. */
async function isIdempotentTool(context: ModuleContext, name: string): Promise<boolean> {
  const { tools } = await context.call<{ tools: { name: string; idempotent?: boolean }[] }>("tool:list", {});
  return tools.find((tool) => tool.name === name)?.idempotent !== false;
}
