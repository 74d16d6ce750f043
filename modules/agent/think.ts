/** How an agent that plays no pattern answers a message: by its rules, else by its model, else it says that it cannot. */
import { CodedError } from "../../daemon/errors.ts";
import { derivedId } from "../../daemon/events/message-ids.ts";
import { createFence } from "../../daemon/fence.ts";
import type { Caller, ModuleContext } from "../../daemon/module.ts";
import type { Answer } from "./messages.ts";
import type { Profile, Profiles, Rule } from "./profile.ts";
import type { AgentRecord, Pending, Registry } from "./registry.ts";

export interface Thinking {
  readonly context: ModuleContext;
  readonly profiles: Profiles;
  readonly registry: Registry;
  /** Has a human answer what an agent of another's making asks. */
  ask(agent: AgentRecord, asked: Pending, question: string, signal: AbortSignal): Promise<string>;
}

/** What a model answers. All of it is text, since not every provider takes values of any type; JSON in it is read as JSON. */
const answerSchema = {
  type: "object",
  properties: {
    reply: { type: "string", description: "the answer to the message: text, or JSON where the message asks for fields" },
    events: {
      type: "array",
      description: "events to emit, only where the message asks for them",
      items: {
        type: "object",
        properties: { event: { type: "string", description: "domain:action" }, data: { type: "string", description: "JSON" } },
        required: ["event", "data"],
        additionalProperties: false,
      },
    },
  },
  required: ["reply", "events"],
  additionalProperties: false,
};

/** Milliseconds that an agent of another's making may take. */
const longestAnswer = 600_000;

interface Thought {
  readonly reply?: unknown;
  readonly events: readonly { readonly event: string; readonly data?: unknown }[];
}

/** @throws CodedError AGENT_CANNOT_ANSWER, RUN_LIMIT_EXCEEDED, what the model or an event met with */
export async function think(thinking: Thinking, agent: AgentRecord, asked: Pending, signal: AbortSignal): Promise<Answer> {
  const { context, profiles } = thinking;
  const profile = await profiles.of(agent);
  if (profile.protocol === "agents") return { message: await byOther(thinking, agent, profile, asked, signal) };
  const ruled = await byRules(context, agent, profile.answers ?? [], asked);
  if (ruled !== undefined) {
    await emitAll(context, agent, asked, ruled.events);
    return { message: ruled.reply ?? null };
  }
  const thought = await byModel(thinking, agent, profile, asked, signal);
  if ("error" in thought) return thought;
  await emitAll(context, agent, asked, thought.events);
  return { message: thought.reply ?? null, usage: thought.usage };
}

async function byRules(context: ModuleContext, agent: AgentRecord, rules: readonly Rule[], asked: Pending): Promise<Thought | undefined> {
  const { agent_id, name, task, profile, inputs } = agent;
  const input = { message: asked.message, from: asked.from, agent: { agent_id, name, task, profile, ...inputs } };
  const evaluate = (expression: string | undefined) =>
    expression === undefined ? undefined : context.expressions.evaluate(expression, input);
  for (const { when, reply, emit = [] } of rules) {
    if (when !== undefined && (await evaluate(when)) !== true) continue;
    const events = [];
    for (const { event, data } of emit) events.push({ event, data: await evaluate(data) });
    return { reply: await evaluate(reply), events };
  }
  return undefined;
}

/** An agent of another's making does the work. */
async function byOther({ context, ask }: Thinking, agent: AgentRecord, { subject }: Profile, asked: Pending, signal: AbortSignal) {
  if (subject === undefined) {
    throw new CodedError("AGENT_CANNOT_ANSWER", `The profile ${agent.profile} says \`protocol: agents\`, and not at which \`subject\`.`, {
      agent_id: agent.agent_id,
    });
  }
  let questions = 0;
  return context.agentNetwork.prompt(subject, textOf(asked.message), {
    signal: AbortSignal.any([signal, AbortSignal.timeout(longestAnswer)]),
    onQuery: (question) => ask(agent, { ...asked, message_id: derivedId(asked.message_id, `question-${++questions}`) }, question, signal),
  });
}

/** What a reply of `model:generate`, or its error, says that it took. */
interface Spending {
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number };
  readonly cost?: number;
}

interface Generated extends Spending {
  readonly object: { readonly reply: string; readonly events: readonly { readonly event: string; readonly data: string }[] };
}

async function byModel({ context, registry }: Thinking, agent: AgentRecord, profile: Profile, asked: Pending, signal: AbortSignal) {
  const model = agent.model ?? profile.model;
  if (model === undefined) throw cannotAnswer(agent);
  const spent = agent.spent?.tokens ?? 0;
  if (spent >= agent.limits.tokens) {
    throw new CodedError("RUN_LIMIT_EXCEEDED", `The agent ${agent.agent_id} has used its ${agent.limits.tokens} tokens.`, {
      limit: "tokens",
      allowed: agent.limits.tokens,
    });
  }
  const fence = createFence(Number.POSITIVE_INFINITY); // the message is the work: none of it is left out
  const request = {
    model,
    system: `${systemOf(agent, profile)}\n\n${fence.rule}`,
    prompt: fence.data("The message, and who sent it", { from: asked.from, message: asked.message }),
    schema: answerSchema,
  };
  const cause = { ...asked.place, id: derivedId(asked.message_id, "answer"), agent: agent.agent_id };
  try {
    const payer = runOf(registry, asked.from) ?? runOf(registry, agent.parent);
    const { object, ...spending } =
      payer === undefined
        ? await context.call<Generated>("model:generate", request, { cause, signal })
        : await context.call<Generated>("orchestration:generate", { run_id: payer, request }, { cause, signal });
    const events = object.events.map(({ event, data }) => ({ event, data: readAsJson(data) }));
    return { reply: readAsJson(object.reply), events, usage: usageOf(spending) };
  } catch (error) {
    if (!(error instanceof CodedError) || error.code !== "MODEL_ANSWER_INVALID") throw error;
    // An answer of no use was paid for, too.
    const { code, message, details } = error;
    return { error: { code, message, details }, usage: usageOf(details as Partial<Spending>) };
  }
}

/**
 * The run that an agent, or whoever sent a message, works for: its own, or that of the one that spawned it; undefined = none.
 * @param who a run, too, since one that no agent plays stands where an agent would
 */
function runOf(registry: Registry, who: string | undefined): string | undefined {
  if (who === undefined || who.includes("/")) return undefined;
  const found = registry.agents.get(who);
  return found === undefined ? who : (found.run_id ?? runOf(registry, found.parent));
}

const usageOf = ({ usage, cost }: Partial<Spending>) => ({
  tokens: (usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0),
  ...(cost !== undefined && { cost }),
});

const systemOf = ({ name, task }: AgentRecord, { prompt }: Profile): string =>
  [
    `You are ${name ?? "an agent"} in a group of agents that talk by messages.`,
    ...(task === undefined ? [] : [`Your task: ${task}`]),
    ...(prompt === undefined ? [] : [prompt]),
    "Answer the message that you are given, in the form that it asks for. An answer is all that it can ask of you.",
  ].join("\n\n");

const textOf = (message: unknown): string => (typeof message === "string" ? message : JSON.stringify(message, undefined, 2));

/** Objects and lists are meant as such; a number or a word may as well be prose. */
function readAsJson(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

async function emitAll(context: ModuleContext, agent: AgentRecord, asked: Pending, events: Thought["events"]): Promise<void> {
  const cause = { ...asked.place, agent: agent.agent_id };
  for (const [index, { event, data }] of events.entries()) {
    const id = derivedId(asked.message_id, `event-${index + 1}`);
    await context.call("event:emit", { event, id, data: data ?? null }, { caller: callerOf(agent), cause: { ...cause, id } });
  }
}

const callerOf = ({ agent_id, capabilities }: AgentRecord): Caller => ({
  kind: "agent",
  id: agent_id,
  ...(capabilities && { capabilities }),
});

const cannotAnswer = ({ agent_id, name, profile }: AgentRecord) =>
  new CodedError(
    "AGENT_CANNOT_ANSWER",
    `The agent ${name ?? agent_id} cannot answer: its profile ${profile} has neither a rule for this message (answers) nor a model. ` +
      "Name a model in the profile or when spawning it, and configure that model under `models` in reprise.yaml.",
    { agent_id, profile },
  );
