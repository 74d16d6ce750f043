/**
 * What the llm interpreter may act through: a typed tool for each event, command and wait that the run's capabilities allow.
 *
 * A tool only says which effect it means; the effect is a step like any other, and the gate checks its target once more.
 */
import { z } from "zod";
import { covers, emitTarget, toolTarget } from "../../../daemon/capabilities.ts";
import { CodedError } from "../../../daemon/errors.ts";
import type { CommandDescription } from "../../../daemon/module.ts";
import type { Effect, Sent } from "../interpreter/effects.ts";

/** Performs one step of the run. */
export type Step = (effect: Effect) => Promise<unknown>;

export interface ActingTool {
  readonly name: string;
  readonly description: string;
  /** JSON Schema. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** @throws CodedError REQUEST_INVALID, or what the step meets with */
  act(input: unknown, step: Step): Promise<unknown>;
}

export interface ToolDescription {
  readonly name: string;
  readonly description: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface ToolsOptions {
  /** Undefined = not restricted. */
  readonly capabilities: readonly string[] | undefined;
  readonly commands: readonly CommandDescription[];
  readonly tools: readonly ToolDescription[];
  /** Of the pattern: what it names gets a tool of its own, the rest is reached through `call` and `run`. */
  readonly text: string;
}

/** Commands that statements stand for, and how their input is an effect. */
const statements: Readonly<Record<string, { readonly keyword: RegExp; effectOf(input: Record<string, unknown>): Effect }>> = {
  "agent:spawn": { keyword: /\bSPAWN\b/, effectOf: (input) => ({ kind: "spawn", input }) },
  "agent:terminate": { keyword: /\bTERMINATE\b/, effectOf: ({ agent_id }) => ({ kind: "terminate", agents: [String(agent_id)] }) },
  "composition:track_decision": { keyword: /\bTRACK\b/, effectOf: ({ pattern: _, ...input }) => ({ kind: "track", input }) },
  "event:query": { keyword: /\bQUERY\b/, effectOf: (input) => ({ kind: "query", input }) },
  "policy:outcome": { keyword: /\bOUTCOME\b/, effectOf: (input) => ({ kind: "outcome", input }) },
  "policy:select": {
    keyword: /\bCHOOSE\b/,
    effectOf: ({ slot, context, candidates }) => ({
      kind: "choose",
      slot: String(slot),
      context,
      candidates: Array.isArray(candidates) ? candidates : [],
    }),
  },
};

/** Reached by tools of their own, or not for a run: what a model costs is paid by the interpreter. */
const hidden = new Set([
  "event:emit",
  "tool:call",
  "agent:send",
  "approval:request",
  "model:generate",
  "model:embed",
  "orchestration:generate",
]);

export function toolsFor({ capabilities, commands, tools, text }: ToolsOptions): ActingTool[] {
  const allows = (target: string) => covers(capabilities, target);
  const isNamed = (name: string) =>
    text.includes(name) || capabilities?.includes(name) === true || statements[name]?.keyword.test(text) === true;
  const allowedCommands = commands.filter(({ name }) => allows(name) && !hidden.has(name));
  const otherCommands = allowedCommands.filter(({ name }) => !isNamed(name)).map(({ name }) => name);
  const allowedTools = tools.filter(({ name }) => allows(toolTarget(name)));
  const namedTools = allowedTools.filter(({ name }) => isNamed(name) || capabilities?.includes(toolTarget(name)));
  const otherTools = allowedTools.filter((one) => !namedTools.includes(one)).map(({ name }) => name);
  const mayEmit = capabilities === undefined || capabilities.some((one) => one.startsWith("emit:") || allows(emitTarget("any:event")));
  return [
    ...(mayEmit ? [emit] : []),
    ...allowedCommands.filter(({ name }) => isNamed(name)).map(commandTool),
    ...(otherCommands.length > 0 ? [call(otherCommands)] : []),
    ...namedTools.map(runTool),
    ...(otherTools.length > 0 ? [run(otherTools)] : []),
    ...(allows("agent:send") ? [send] : []),
    ...(allows("approval:request") ? [ask] : []),
    awaitEvent,
    awaitAgents,
  ];
}

const anything = z.unknown();
const within = z.number().positive().optional().describe("seconds; default: as long as the run may last");

const emit = tool(
  "emit",
  "EMIT: emits an event, such as the pattern asks for.",
  {
    event: z.string().describe("domain:action"),
    data: z.record(z.string(), anything).optional(),
    delay: z.number().nonnegative().optional().describe("seconds"),
  },
  ({ event, data, delay }, step) => step({ kind: "emit", event, data, ...(delay !== undefined && { delay }) }),
);

const call = (names: readonly string[]) =>
  tool(
    "call",
    `CALL: calls a command: one of ${names.join(", ")}.`,
    { command: z.string(), input: z.record(z.string(), anything).default({}) },
    ({ command, input }, step) => step({ kind: "call", command, input }),
  );

const run = (names: readonly string[]) =>
  tool(
    "run",
    `RUN: runs a tool: one of ${names.join(", ")}.`,
    { tool: z.string(), arguments: z.record(z.string(), anything).default({}) },
    ({ tool: name, arguments: input }, step) => runStep(name, input, step),
  );

const send = tool(
  "send",
  "SEND: sends a message to agents, and waits for their replies if asked to.",
  {
    to: z.array(z.string()).min(1).describe("agent_id"),
    message: anything,
    await_reply: z.boolean().default(false),
    within,
  },
  async ({ to, message, await_reply, within }, step) => {
    const sent = (await step({ kind: "send", to, message, expects_reply: await_reply })) as Sent[];
    if (!await_reply) return sent;
    return step({ kind: "await", for: { of: "replies", to: sent }, min: sent.length, max: sent.length, partial: false, ...until(within) });
  },
);

const ask = tool(
  "ask",
  "ASK: asks a human, and waits for the answer.",
  {
    question: z.string(),
    options: z.array(anything).optional(),
    within,
  },
  async ({ question, options, within }, step) => {
    const asked = { kind: "ask", question, ...(options && { options }), ...(within !== undefined && { within }) } as const;
    const { id } = (await step(asked)) as { id: string };
    return step({ kind: "await", for: { of: "decision", id }, min: 1, max: 1, partial: false });
  },
);

const awaitEvent = tool(
  "await_event",
  "AWAIT: waits for events, from the start of the run on.",
  {
    event: z.string().describe("a name, or a pattern such as sensor:*"),
    from: z.array(z.string()).min(1).optional().describe("agent_id: only what these agents emit, one event of each"),
    min: z.number().int().min(1).max(1000).optional().describe("so many must come; default: one, or one of each agent"),
    within,
    partial: z.boolean().default(false).describe("when the time is up, fewer are no error"),
  },
  ({ event, from, min = from?.length ?? 1, within, partial }, step) => {
    const wanted = { of: "events", event, except: [], ...(from && { from }) } as const;
    return step({ kind: "await", for: wanted, min, max: Math.max(min, from?.length ?? min), partial, ...until(within) });
  },
);

const awaitAgents = tool(
  "await_agents",
  "AWAIT: waits for the end of agents, and gives their results.",
  {
    agents: z.array(z.string()).min(1).describe("agent_id"),
    within,
  },
  ({ agents, within }, step) =>
    step({ kind: "await", for: { of: "agents", agents }, min: agents.length, max: agents.length, partial: false, ...until(within) }),
);

/** `composition:fork` → `composition__fork`, since providers take no colon. */
function commandTool({ name, description, input }: CommandDescription): ActingTool {
  const { $schema: _, ...parameters } = input;
  return {
    name: name.replace(":", "__"),
    description: `${name}: ${description}`,
    parameters,
    act(given, step) {
      const fields = z.record(z.string(), anything).safeParse(given ?? {});
      if (!fields.success) throw invalid(name, "expected an object");
      return step(statements[name]?.effectOf(fields.data) ?? { kind: "call", command: name, input: fields.data });
    },
  };
}

function runTool({ name, description, parameters: { $schema: _, ...parameters } }: ToolDescription): ActingTool {
  return {
    name: `run__${name}`,
    description: `RUN ${name}: ${description}`,
    parameters,
    act: (input, step) => runStep(name, input ?? {}, step),
  };
}

async function runStep(name: string, input: unknown, step: Step): Promise<unknown> {
  return ((await step({ kind: "run", tool: name, input })) as { result?: unknown } | undefined)?.result;
}

function tool<Shape extends z.ZodRawShape>(
  name: string,
  description: string,
  shape: Shape,
  perform: (input: z.output<z.ZodObject<Shape>>, step: Step) => Promise<unknown>,
): ActingTool {
  const schema = z.strictObject(shape);
  const { $schema: _, ...parameters } = z.toJSONSchema(schema, { io: "input" });
  return {
    name,
    description,
    parameters,
    act(input, step) {
      const parsed = schema.safeParse(input ?? {});
      if (!parsed.success) throw invalid(name, z.prettifyError(parsed.error));
      return perform(parsed.data as z.output<z.ZodObject<Shape>>, step);
    },
  };
}

const invalid = (name: string, problem: string) =>
  new CodedError("REQUEST_INVALID", `The input of ${name} does not fit: ${problem}`, { tool: name });

const until = (seconds: number | undefined) =>
  seconds === undefined ? {} : { until: new Date(Date.now() + seconds * 1000).toISOString() };
