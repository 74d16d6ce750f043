/** A model that plays a pattern as a given run played it: each step of that run, as the call of a tool. */
import type { ModelAnswer, ModelRequest } from "./model-server.ts";

export interface JournalEntry {
  readonly type: string;
  readonly intents?: readonly { readonly step: string; readonly effect: Record<string, unknown> & { readonly kind: string } }[];
}

export interface ToolUse {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
}

/** What a run did to the world, in the order of its steps, as calls of the tools of the llm interpreter. */
export function toolUsesOf(entries: readonly JournalEntry[]): ToolUse[] {
  const intents = entries.flatMap(({ intents = [] }) => intents);
  const number = (step: string) =>
    step
      .split(".")
      .map((part) => part.padStart(8, "0"))
      .join(".");
  return intents.sort((left, right) => (number(left.step) < number(right.step) ? -1 : 1)).flatMap(({ effect }) => toolUseOf(effect) ?? []);
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
    case "judge":
    case "sleep":
      return undefined;
    default:
      throw new Error(`no tool for ${kind}`);
  }
}

/** Answers the requests of one run with these calls, one each, and returns at the end. */
export function playerOf(uses: readonly ToolUse[]): (request: ModelRequest, index: number) => ModelAnswer {
  return (request, index) => {
    const use = uses[index] ?? { name: "return", arguments: { value: "played" } };
    const given = JSON.stringify({ ...use.arguments, ...("decision_id" in use.arguments && { decision_id: lastDecision(request) }) });
    return { toolCalls: [{ name: use.name, arguments: given }] };
  };
}

/** Of the latest choice, which has another id in each run. */
function lastDecision({ messages }: ModelRequest): string | undefined {
  return messages
    .map(({ content }) => /\\?"decision_id\\?":\\?"([^"\\]+)/.exec(typeof content === "string" ? content : "")?.[1])
    .findLast(Boolean);
}
