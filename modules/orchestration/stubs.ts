/**
 * The effects of a simulated run: nothing is done, and every step is answered at once, as the caller said or else by what a
 * friendly world would say.
 */
import { CodedError, type ErrorCode } from "../../daemon/errors.ts";
import type { AgentEnd, Arrival, Effect, Effects, EventsWanted, Sent, Wait } from "./interpreter/effects.ts";

/** What a statement gets; `value` is what its AS would keep. */
export type StubbedAnswer = { readonly value?: unknown } | { readonly error: string };
/** By line (`"12"`), or by keyword and name (`"RUN list_files"`). A line is looked for first. */
export type StubbedAnswers = Readonly<Record<string, StubbedAnswer>>;

export interface StubbedEffects extends Effects {
  /** Keys of the answers that nothing asked for. */
  unused(): string[];
}

/** Without a better number, a wait is over after as many. */
const mostArrivals = 1000;

/** @param lineOf the line of a step that is under way */
export function stubbedEffects(answers: StubbedAnswers, lineOf: (step: string) => number | undefined): StubbedEffects {
  const used = new Set<string>();
  const questions = new Map<string, Extract<Effect, { kind: "ask" }>>();
  /** Name → how many agents have it. */
  const names = new Map<string, number>();
  const groups = new Map<string, { agent_id: string }[]>();
  let messages = 0;
  let arrivals = 0;

  function answerFor(keys: readonly (string | undefined)[]): { readonly value?: unknown } | undefined {
    const key = keys.find((one) => one !== undefined && Object.hasOwn(answers, one));
    if (key === undefined) return undefined;
    used.add(key);
    const answer = answers[key] as StubbedAnswer;
    if ("error" in answer) throw new CodedError(answer.error as ErrorCode, `The answer "${key}" of the simulation says so.`);
    return answer;
  }

  function perform(effect: Effect, step: string): unknown {
    const answered = (name: string) => answerFor([String(lineOf(step)), name]);
    const answeredOr = (name: string, value: unknown) => (answered(name) ?? { value }).value;
    switch (effect.kind) {
      case "emit":
        return answeredOr(`EMIT ${effect.event}`, { status: effect.delay === undefined ? "emitted" : "scheduled" });
      case "call":
        return answeredOr(`CALL ${effect.command}`, {});
      case "consider":
        return answeredOr(`CONSIDER ${effect.command}`, {});
      case "run":
        return { result: answeredOr(`RUN ${effect.tool}`, {}) };
      case "choose": {
        const [first] = effect.candidates;
        const choice = answeredOr(`CHOOSE ${effect.slot}`, (first as { id?: unknown } | undefined)?.id ?? first);
        return { choice, probability: 1, decision_id: `decision-${step}` };
      }
      case "query":
        return answeredOr("QUERY", []);
      case "spawn": {
        const {
          profile,
          name = profile,
          count,
          group,
        } = effect.input as { profile: string; name?: string; count?: number; group?: string };
        const answer = answered(`SPAWN ${name}`);
        if (answer !== undefined) return answer.value;
        const agents = Array.from({ length: Math.min(count ?? 1, mostArrivals) }, () => ({ agent_id: agentNamed(String(name)) }));
        if (group !== undefined) groups.set(group, [...(groups.get(group) ?? []), ...agents]);
        return count === undefined ? agents[0] : { ...agents[0], agents };
      }
      case "members":
        return (groups.get(effect.group) ?? []).map((agent) => ({ ...agent, state: "active" }));
      case "send":
        return effect.to.map((to): Sent => ({ message_id: `message-${++messages}`, to, seq: messages }));
      case "ask":
        questions.set(step, effect);
        return { id: step };
      case "await":
        return waitedFor(effect, answered);
      default:
        // Outcomes, decisions, ends of agents and pauses give nothing that a pattern could read.
        return undefined;
    }
  }

  function waitedFor(wait: Wait, answered: (name: string) => { readonly value?: unknown } | undefined): unknown {
    const { for: what, min, partial } = wait;
    switch (what.of) {
      case "decision": {
        const { question, options } = questions.get(what.id) as Extract<Effect, { kind: "ask" }>;
        const answer = answered(`ASK ${question}`);
        return { answer: answer === undefined ? (options?.[0] ?? true) : answer.value };
      }
      case "replies": {
        const answer = answered(`SEND ${what.to[0]?.to}`);
        return answer === undefined ? what.to.map(() => ({})) : what.to.length === 1 ? [answer.value] : listOf(answer.value);
      }
      case "agents": {
        const answer = answered(`AWAIT ${what.agents[0]}`);
        const ends = what.agents.map((agent_id): AgentEnd => ({ agent_id, state: "completed" }));
        return enough(answer === undefined ? ends : listOf(answer.value));
      }
      case "events": {
        const answer = answered(`AWAIT ${what.event}`);
        const data =
          answer === undefined ? Array(Math.min(Math.max(min, what.from?.length ?? 0), mostArrivals)).fill({}) : listOf(answer.value);
        return enough(data).map((one, index) => arrival(what, one, what.from?.[index]));
      }
    }

    function enough(found: unknown[]): unknown[] {
      if (found.length >= min || partial) return found;
      throw new CodedError("AWAIT_EXPIRED", `In the simulation ${found.length} of ${min} came.`, { came: found.length, min });
    }
  }

  /** The first has the name itself. */
  function agentNamed(name: string): string {
    const count = (names.get(name) ?? 0) + 1;
    names.set(name, count);
    return count === 1 ? name : `${name}-${count}`;
  }

  function arrival({ event }: EventsWanted, data: unknown, agent: string | undefined): Arrival {
    const seq = ++arrivals;
    return { seq, id: `event-${seq}`, type: event, time: new Date(0).toISOString(), data, ...(agent !== undefined && { agent }) };
  }

  return {
    unused: () => Object.keys(answers).filter((key) => !used.has(key)),
    async perform(effect, step, signal) {
      // Whoever listens hears of what came before.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      return perform(effect, step);
    },
    async *follow(wanted, signal) {
      const heard = wanted.except.length === 0 ? answerFor([`ON ${wanted.event}`]) : undefined;
      if (heard !== undefined) for (const data of listOf(heard.value)) yield arrival(wanted, data, undefined);
      await new Promise((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
    isSelfRecording: () => false,
    isRead: () => true,
    isRepeatable: async () => true,
  };
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);
