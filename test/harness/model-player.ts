/** A model that plays a pattern as a given run played it: each step of that run, as the call of a tool. */
import type { ModelAnswer, ModelRequest } from "./model-server.ts";

export interface JournalEntry {
  readonly type: string;
  readonly intents?: readonly { readonly step: string; readonly effect: Record<string, unknown> & { readonly kind: string } }[];
  readonly results?: readonly { readonly step: string; readonly value?: unknown }[];
}

export interface ToolUse {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
  /** The agent that it spawned in the run that is played again. */
  readonly agent?: string;
}

/** What a run did to the world, in the order of its steps, as calls of the tools of the llm interpreter. */
export function toolUsesOf(entries: readonly JournalEntry[]): ToolUse[] {
  const intents = entries.flatMap(({ intents = [] }) => intents);
  const results = new Map(entries.flatMap(({ results = [] }) => results.map(({ step, value }) => [step, value])));
  const number = (step: string) =>
    step
      .split(".")
      .map((part) => part.padStart(8, "0"))
      .join(".");
  return intents
    .sort((left, right) => (number(left.step) < number(right.step) ? -1 : 1))
    .flatMap(({ step, effect }) => {
      const use = toolUseOf(effect);
      const agent = (results.get(step) as { agent_id?: string } | undefined)?.agent_id;
      return use === undefined ? [] : [effect.kind === "spawn" && agent !== undefined ? { ...use, agent } : use];
    });
}

function toolUseOf({ kind, ...effect }: Record<string, unknown> & { readonly kind: string }): ToolUse | undefined {
  switch (kind) {
    case "emit":
      return { name: "emit", arguments: { event: effect.event, ...(effect.data !== undefined && { data: effect.data }) } };
    case "run":
      return { name: `run__${effect.tool}`, arguments: effect.input as Record<string, unknown> };
    case "choose":
      return { name: "policy__select", arguments: effect };
    case "outcome":
      return { name: "policy__outcome", arguments: effect.input as Record<string, unknown> };
    case "track":
      return { name: "composition__track_decision", arguments: effect.input as Record<string, unknown> };
    case "spawn":
      return { name: "agent__spawn", arguments: effect.input as Record<string, unknown> };
    case "send":
      return { name: "send", arguments: { to: effect.to, message: effect.message, await_reply: effect.expects_reply } };
    case "terminate":
      return { name: "agent__terminate", arguments: { agent_id: (effect.agents as string[])[0] } };
    case "await": {
      const { of, event, from } = effect.for as { of: string; event: string; from?: string[] };
      // The tool that sends waits for the replies, too.
      if (of === "replies") return undefined;
      if (of !== "events") throw new Error(`no tool for a wait for ${of}`);
      return { name: "await_event", arguments: { event, ...(from && { from }), min: effect.min, partial: effect.partial, within: 30 } };
    }
    case "judge":
    case "decide":
    case "sleep":
      return undefined;
    default:
      throw new Error(`no tool for ${kind}`);
  }
}

/** Answers the requests of one run with these calls, one each, and returns at the end. */
export function playerOf(uses: readonly ToolUse[]): (request: ModelRequest, index: number) => ModelAnswer {
  return (request, index) => {
    const { name, arguments: given } = uses[index] ?? { name: "return", arguments: { value: "played" } };
    let text = JSON.stringify({ ...given, ...("decision_id" in given && { decision_id: lastDecision(request) }) });
    for (const [before, now] of agentsOf(uses.slice(0, index), request)) text = text.replaceAll(before, now);
    return { toolCalls: [{ name, arguments: text }] };
  };
}

/** The agents of the run that is played again → those that were spawned in their place. */
function agentsOf(uses: readonly ToolUse[], { messages }: ModelRequest): Map<string, string> {
  const results = messages.filter(({ role }) => role === "tool").map(({ content }) => String(content));
  const pairs = uses.map(({ agent }, index) => [agent, /"agent_id":"([^"]+)/.exec(results[index] ?? "")?.[1]] as const);
  return new Map(pairs.filter((pair): pair is [string, string] => pair[0] !== undefined && pair[1] !== undefined));
}

/** Of the latest choice, which has another id in each run. */
function lastDecision({ messages }: ModelRequest): string | undefined {
  return messages
    .map(({ content }) => /\\?"decision_id\\?":\\?"([^"\\]+)/.exec(typeof content === "string" ? content : "")?.[1])
    .findLast(Boolean);
}
