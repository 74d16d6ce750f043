/** The effects of a run in the daemon: commands, on behalf of the run's agent and held to its capabilities (invariant 7). */
import { setTimeout as sleep } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { openWaits, type RunInDaemon } from "./daemon-waits.ts";
import type { Effect, Effects } from "./interpreter/effects.ts";
import type { Member } from "./interpreter/groups.ts";
import { causeOf } from "./record.ts";
import { spentBy } from "./spent.ts";

export function daemonEffects(about: RunInDaemon): Effects {
  const { context, run, approval } = about;
  const waits = openWaits(about);
  const caller = { kind: "agent", id: run.agent_id ?? run.run_id, capabilities: run.capabilities, ...(approval && { approval }) } as const;
  const cause = causeOf(run);

  /** The id of the message is the key under which a module recognises a repetition. */
  const call = <Result>(command: string, input: unknown, step: string, signal?: AbortSignal): Promise<Result> =>
    context.call<Result>(command, input, { caller, cause: { ...cause, id: `${run.run_id}/${step}` }, signal });

  async function perform(effect: Effect, step: string, signal: AbortSignal): Promise<unknown> {
    const key = `${run.run_id}/${step}`;
    switch (effect.kind) {
      case "emit": {
        const { event, data, delay } = effect;
        const request = { event, id: key, ...(data !== undefined && { data }), ...(delay !== undefined && { delay }) };
        const reply = await call<{ status: string }>("event:emit", request, step, signal);
        // The event is the record of the step: a replay finds it stored, and gets the same reply.
        return reply.status === "duplicate" ? { ...reply, status: "emitted" } : reply;
      }
      case "call":
      case "consider":
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
      case "query": {
        const { events } = await call<{ events: unknown[] }>("event:query", effect.input, step, signal);
        return events;
      }
      case "spawn":
        return call("agent:spawn", effect.input, step, signal);
      case "members": {
        // Those that it spawned itself: to know them takes no right.
        const wanted = { group: effect.group, parent: caller.id, limit: 1000 };
        const { agents } = await context.call<{ agents: Member[] }>("agent:list", wanted, { cause, signal });
        return agents.map(({ agent_id, state }) => ({ agent_id, state })).reverse();
      }
      case "send":
        return send(effect, step, signal);
      case "terminate":
        for (const [index, agent_id] of effect.agents.entries())
          await call("agent:terminate", { agent_id }, `${step}/${index + 1}`, signal);
        return undefined;
      case "ask": {
        const { question, options, within } = effect;
        const about = { run_id: run.run_id, ...(run.agent_id && { agent_id: run.agent_id }) };
        const { id } = await call<{ id: string }>(
          "approval:request",
          { action: { ask: question }, ...about, ...(options && { options }), ...(within !== undefined && { within }) },
          step,
          signal,
        );
        return { id };
      }
      case "await":
        return waits.wait(effect, signal);
      case "judge":
      case "decide":
      case "think":
        throw new CodedError("JUDGEMENT_REQUIRED", "This asks for a judgement, and nobody in this run thinks.");
      case "sleep":
        return sleep(effect.milliseconds, undefined, { signal });
    }
  }

  /** One message to each; a repetition is recognised by the step and the place in the list. */
  async function send({ to, message, expects_reply }: Extract<Effect, { kind: "send" }>, step: string, signal: AbortSignal) {
    const sent: unknown[] = [];
    for (const [index, agent] of to.entries()) {
      sent.push(await call("agent:send", { to: agent, message, ...(expects_reply && { expects_reply }) }, `${step}/${index + 1}`, signal));
    }
    return sent;
  }

  return {
    // A tool or command that is slow to notice the end of the run does not hold it up.
    async perform(effect, step, signal, purse) {
      const value = await untilAborted(perform(effect, step, signal), signal);
      const spent = spentBy(effect, value);
      if (spent !== undefined) purse.spend(spent);
      return value;
    },
    follow: waits.follow,
    isSelfRecording: ({ kind, ...effect }) =>
      kind === "emit" && !("delay" in effect) && !context.isCommand((effect as { event: string }).event),
    isRead(effect) {
      switch (effect.kind) {
        case "call":
        case "consider":
          return context.isRead(effect.command);
        case "query":
        case "members":
        case "judge":
        case "sleep":
          return true;
        default:
          return false;
      }
    },
    async isRepeatable(effect) {
      switch (effect.kind) {
        case "call":
        case "consider":
          return context.isRead(effect.command);
        case "emit":
          return context.isRead(effect.event) || !context.isCommand(effect.event);
        case "run":
          return isIdempotentTool(context, effect.tool);
        // The rest are reads, or recognised by the id of the step.
        default:
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
