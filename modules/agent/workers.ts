/**
 * Agents that play no pattern answer their messages: one at a time each, in the order in which they came, and always, if only
 * with the reason why they cannot. A message is answered when the log has the reply; until then it is tried again after a restart,
 * or by the daemon that takes the agent over.
 */
import { setTimeout as pause } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import { LeaseLost, type Leases } from "../../daemon/leases.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import type { Answer } from "./messages.ts";
import type { AgentRecord, Pending, Registry } from "./registry.ts";

export interface WorkersOptions {
  readonly context: ModuleContext;
  readonly registry: Registry;
  /** Of several daemons one answers for an agent. */
  readonly leases: Leases;
  /** Thinks of an answer. @throws CodedError why there is none */
  think(agent: AgentRecord, message: Pending, signal: AbortSignal): Promise<Answer>;
  reply(message: Pending, answer: Answer): Promise<void>;
}

/** Answers that are thought of at the same time; more wait. */
const mostAtOnce = 64;
/** Milliseconds before a reply that the log did not take is tried again. */
const pauseAfterFailure = 1_000;

export class Workers implements AsyncDisposable {
  readonly #options: WorkersOptions;
  readonly #working = new Map<string, { readonly abort: AbortController; readonly done: Promise<void> }>();
  /** Agents with messages, while too many others think. */
  readonly #waiting = new Set<string>();
  #isStopping = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Has the agent answer what it has not answered yet. */
  wake(agent_id: string): void {
    if (this.#isStopping || this.#working.has(agent_id) || this.#next(agent_id) === undefined) return;
    if (this.#working.size >= mostAtOnce) {
      this.#waiting.add(agent_id);
      return;
    }
    this.#waiting.delete(agent_id);
    const abort = new AbortController();
    const done = this.#work(agent_id, abort.signal).finally(() => {
      this.#working.delete(agent_id);
      this.wake(agent_id);
      const [next] = this.#waiting;
      if (next !== undefined) this.wake(next);
    });
    this.#working.set(agent_id, { abort, done });
  }

  /** It thinks no further; what it has not answered stays. */
  stop(agent_id: string): void {
    this.#working.get(agent_id)?.abort.abort(new Stopped());
  }

  isThinking(agent_id: string): boolean {
    return this.#working.has(agent_id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    const working = [...this.#working.values()];
    for (const { abort } of working) abort.abort(new Stopped());
    await Promise.all(working.map(({ done }) => done));
  }

  async #work(agent_id: string, signal: AbortSignal): Promise<void> {
    for (let next = this.#next(agent_id); next !== undefined && !signal.aborted; next = this.#next(agent_id)) {
      const { agent, message } = next;
      try {
        await this.#options.leases.whenHeld(agent.owner, signal);
        const answer = await this.#answerOf(agent, message, signal);
        await this.#options.reply(message, answer);
      } catch (error) {
        if (signal.aborted || error instanceof LeaseLost) return;
        this.#options.context.log.warn({ agent: agent_id, message: message.message_id, error }, "an agent's reply is tried again");
        await pause(pauseAfterFailure, undefined, { signal }).catch(() => {});
      }
    }
  }

  /** The oldest message that a worker has to answer now. */
  #next(agent_id: string): { agent: AgentRecord; message: Pending } | undefined {
    const agent = this.#options.registry.agents.get(agent_id);
    if (agent?.state !== "active" || agent.pattern !== undefined || !this.#options.leases.owns(agent.owner)) return undefined;
    const [message] = this.#options.registry.pending.get(agent_id)?.values() ?? [];
    return message && { agent, message };
  }

  /** @throws when the agent was stopped, or the daemon stops: then the message stays unanswered */
  async #answerOf(agent: AgentRecord, message: Pending, signal: AbortSignal): Promise<Answer> {
    try {
      return await this.#options.think(agent, message, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof CodedError)) {
        this.#options.context.log.error({ agent: agent.agent_id, error }, "an agent failed to answer by a defect");
        return { error: { code: "INTERNAL", message: "The agent failed unexpectedly; the daemon's log tells more.", details: {} } };
      }
      if (error.code === "SHUTTING_DOWN") throw error;
      return { error: { code: error.code, message: error.message, details: error.details } };
    }
  }
}

/** Reason of an abort: the agent is held, has ended, or the daemon stops. */
class Stopped extends Error {
  override readonly name = "Stopped";
}
