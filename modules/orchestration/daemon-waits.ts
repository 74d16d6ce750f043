/** What a run waits for in the daemon: events of the log since its start, ends of agents, answers of agents and people. */
import { setTimeout as sleep } from "node:timers/promises";
import { CodedError, type ErrorCode, errorTable } from "../../daemon/errors.ts";
import type { EventRecord, ModuleContext } from "../../daemon/module.ts";
import { matches } from "../../daemon/names.ts";
import type { AgentEnd, Arrival, EventsWanted, Predicate, Sent, Wait } from "./interpreter/effects.ts";
import { isTrue } from "./interpreter/evaluate.ts";
import type { StartedEntry } from "./record.ts";
import type { EventWatch } from "./watch.ts";

export interface Waits {
  /**
   * @throws CodedError AWAIT_EXPIRED; what the answer says went wrong; the signal's reason
   */
  wait(wait: Wait, signal: AbortSignal): Promise<unknown>;
  follow(wanted: EventsWanted, signal: AbortSignal): AsyncIterable<Arrival>;
}

/** A run, and what of the daemon its effects need. */
export interface RunInDaemon {
  readonly context: ModuleContext;
  readonly watch: EventWatch;
  readonly run: StartedEntry;
  /** Position in the log of the event that says that it started. */
  readonly since: number;
  /** What a human has to approve at each use, by the pattern. */
  readonly approval?: readonly string[] | undefined;
}

const agentEnds = ["agent:completed", "agent:failed", "agent:terminated"] as const;

/** Reply of `agent:info`, as far as it is used here. */
interface AgentInfo {
  readonly agent_id: string;
  readonly state: string;
  readonly ended_at?: string;
  readonly error?: unknown;
}

export function openWaits({ context, watch, run, since: start }: RunInDaemon): Waits {
  const since = (types: readonly string[], signal: AbortSignal) => watch.follow({ types, after: start, signal });

  async function* follow({ event: type, where, except }: EventsWanted, signal: AbortSignal): AsyncGenerator<Arrival> {
    const known = new Set(except);
    for await (const event of since([type], signal)) {
      if (!known.has(event.seq) && (await fits(event, where))) yield arrivalOf(event);
    }
  }

  async function fits(event: EventRecord, where: Predicate | undefined): Promise<boolean> {
    // A message is for the agent that it is addressed to.
    if (event.type === "agent:message_sent" && (event.data as { to?: string }).to !== (run.agent_id ?? run.run_id)) return false;
    if (where === undefined) return true;
    return isTrue(await context.expressions.evaluate(where.jsonata, where.state, { event: arrivalOf(event) }));
  }

  /** The agent, if it ended before the run began: of its end the run's part of the log tells nothing. */
  async function endedBefore(agent_id: string): Promise<AgentInfo | undefined> {
    const info = await context.call<AgentInfo>("agent:info", { agent_id });
    return info.ended_at !== undefined && info.ended_at < run.at ? info : undefined;
  }

  /** Adds to `found` what comes; ends when that is enough, or all there will be. */
  async function events(wait: Wait, wanted: EventsWanted, found: Arrival[], signal: AbortSignal): Promise<void> {
    const expected = new Set(wanted.from);
    for (const agent of expected) if ((await endedBefore(agent)) !== undefined) expected.delete(agent);
    const known = new Set(wanted.except);
    const types = wanted.from === undefined ? [wanted.event] : [wanted.event, ...agentEnds];
    if (isOver()) return;
    for await (const event of since(types, signal)) {
      const isWanted = matches(wanted.event, event.type) && !known.has(event.seq);
      const isExpected = wanted.from === undefined || expected.has(event.agent ?? "");
      if (isWanted && isExpected && (await fits(event, wanted.where))) {
        found.push(arrivalOf(event));
        expected.delete(event.agent ?? "");
      } else if (isEnd(event)) {
        expected.delete(agentOf(event));
      }
      if (isOver()) return;
    }

    function isOver(): boolean {
      return found.length >= wait.max || (wanted.from !== undefined && expected.size === 0);
    }
  }

  async function ends(agents: readonly string[], max: number, found: AgentEnd[], signal: AbortSignal): Promise<void> {
    const open = new Set<string>();
    for (const agent of agents) {
      const before = await endedBefore(agent);
      if (before === undefined) open.add(agent);
      else
        found.push({
          agent_id: agent,
          state: before.state as AgentEnd["state"],
          ...(before.error !== undefined && { error: before.error }),
        });
    }
    if (found.length >= max || open.size === 0) return;
    for await (const event of since(agentEnds, signal)) {
      if (!open.delete(agentOf(event))) continue;
      found.push(endOf(event));
      if (found.length >= max || open.size === 0) return;
    }
  }

  async function replies(sent: readonly Sent[], found: unknown[], signal: AbortSignal): Promise<void> {
    const open = new Map(sent.map(({ message_id }, index) => [message_id, index]));
    const after = Math.min(...sent.map(({ seq }) => seq));
    for await (const { data } of watch.follow({ types: ["agent:message_sent"], after, signal })) {
      const { in_reply_to = "", message, error } = data as Reply;
      const index = open.get(in_reply_to);
      if (index === undefined) continue;
      if (error !== undefined) throw errorOf(error);
      open.delete(in_reply_to);
      found[index] = message;
      if (open.size === 0) return;
    }
  }

  async function decision(id: string, signal: AbortSignal): Promise<{ answer: unknown }> {
    for await (const { data } of since(["approval:*"], signal)) {
      const approval = data as { id?: string; state?: string; decision?: string; option?: unknown };
      if (approval.id !== id || approval.state === "pending") continue;
      if (approval.state === "approved" || approval.state === "denied") {
        return { answer: approval.decision === "option" ? approval.option : approval.state === "approved" };
      }
      throw new CodedError("AWAIT_EXPIRED", `Nobody answered the question: it is ${approval.state}.`, {
        approval: id,
        state: approval.state,
      });
    }
    throw signal.reason;
  }

  return {
    follow,
    async wait(wait, signal) {
      const { for: what, min, max, partial } = wait;
      if (what.of === "decision") return decision(what.id, signal);
      const found: unknown[] = [];
      const collect = (until: AbortSignal) => {
        if (what.of === "events") return events(wait, what, found as Arrival[], until);
        if (what.of === "agents") return ends(what.agents, max, found as AgentEnd[], until);
        return replies(what.to, found, until);
      };
      const isInTime = await within(wait.until, signal, collect);
      if (found.filter((one) => one !== undefined).length >= min || partial)
        return what.of === "agents" ? inOrder(found, what.agents) : found;
      const came = `${found.length} of ${min}`;
      throw isInTime
        ? new CodedError("AWAIT_EXPIRED", `No more will come: ${came}, since the agents have ended.`, { came: found.length, min })
        : new CodedError("AWAIT_EXPIRED", `The time is up, and ${came} came.`, { came: found.length, min });
    },
  };
}

/** @returns false when the time was up before the work was done */
async function within(until: string | undefined, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
  if (until === undefined) {
    await work(signal);
    return true;
  }
  const over = new AbortController();
  const ended = AbortSignal.any([signal, over.signal]);
  const done = new AbortController();
  const clock = untilTime(Date.parse(until), AbortSignal.any([signal, done.signal])).then(() => over.abort(new Error("the time is up")));
  clock.catch(() => {});
  try {
    await work(ended);
    return true;
  } catch (error) {
    if (signal.aborted || !over.signal.aborted) throw error;
    return false;
  } finally {
    done.abort();
  }
}

/** A timer takes at most 2^31 milliseconds. */
const longestTimer = 2 ** 31 - 1;

async function untilTime(time: number, signal: AbortSignal): Promise<void> {
  for (let left = time - Date.now(); left > 0; left = time - Date.now()) await sleep(Math.min(left, longestTimer), undefined, { signal });
}

const arrivalOf = ({ seq, id, type, time, data, agent }: EventRecord): Arrival => ({ seq, id, type, time, data, ...(agent && { agent }) });

const isEnd = ({ type }: EventRecord): boolean => (agentEnds as readonly string[]).includes(type);
const agentOf = ({ data }: EventRecord): string => (data as { agent_id?: string }).agent_id ?? "";

function endOf(event: EventRecord): AgentEnd {
  const { result, error } = event.data as { result?: unknown; error?: unknown };
  const state = event.type.slice("agent:".length) as AgentEnd["state"];
  return { agent_id: agentOf(event), state, ...(result !== undefined && { result }), ...(error !== undefined && { error }) };
}

const inOrder = (found: readonly unknown[], agents: readonly string[]): unknown[] =>
  (found as AgentEnd[]).toSorted((left, right) => agents.indexOf(left.agent_id) - agents.indexOf(right.agent_id));

/** The event `agent:message_sent`, as far as it is used here. */
interface Reply {
  readonly in_reply_to?: string;
  readonly message?: unknown;
  readonly error?: Problem;
}

interface Problem {
  readonly code: string;
  readonly message: string;
  readonly details?: Record<string, unknown>;
}

/** An error that an agent answered with, by its own code where that is one of ours. */
function errorOf({ code, message, details }: Problem): CodedError {
  const known = Object.hasOwn(errorTable, code) ? (code as ErrorCode) : "AGENT_CANNOT_ANSWER";
  return new CodedError(known, message, { ...details });
}
