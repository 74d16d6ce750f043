/**
 * The llm interpreter: a model reads the whole pattern and acts through typed tools, until it returns or a limit is reached.
 *
 * Each thought and each act is a step with a journaled result. A resumed run takes them from there, so the conversation grows to
 * what it was, and what was paid for is not asked again.
 */
import { CodedError } from "../../../daemon/errors.ts";
import { createFence, type Fence } from "../../../daemon/fence.ts";
import type { ModuleContext } from "../../../daemon/module.ts";
import { isFinal } from "../interpreter/control.ts";
import type { Effects } from "../interpreter/effects.ts";
import { watchRepetition } from "../interpreter/repetition.ts";
import { createSteps, type StepsOptions, type Thread } from "../interpreter/steps.ts";
import type { State } from "../language/direct.ts";
import type { Pattern } from "../pattern.ts";
import type { StartedEntry } from "../record.ts";
import type { Claims } from "./claims.ts";
import { profileRule, toldProfile } from "./instructions.ts";
import { type Message, openThinker, type Reply, type ToolCall } from "./thinker.ts";
import { type ActingTool, type ToolDescription, toolsFor } from "./tools.ts";

export interface ThinkOptions extends StepsOptions {
  readonly context: ModuleContext;
  readonly run: StartedEntry;
  readonly pattern: Pattern;
  readonly variables: State;
  readonly claims: Claims;
}

/** What was said so far; the results of tools are fenced anew for each request. */
type Said = { readonly reply: Reply } | { readonly call: ToolCall; readonly result: unknown } | { readonly reminder: string };

/** Answers without a call of a tool, after which the run is taken to be over. */
const idleAnswers = 2;

const returning = {
  name: "return",
  description: "RETURN: ends the run with its result.",
  parameters: { type: "object", properties: { value: { description: "the result, any JSON" } } },
};
const aborting = {
  name: "abort",
  description: "ABORT: gives up; the run fails with the reason.",
  parameters: { type: "object", properties: { reason: { type: "string" } }, required: ["reason"] },
};

/**
 * @returns what the model returned
 * @throws CodedError that ended the run; RunLost; the reason of the signal
 */
export async function think(options: ThinkOptions): Promise<unknown> {
  const { context, run, pattern, claims, journal } = options;
  const thinker = openThinker(context, run);
  const said: Said[] = [];
  const { tools: registered } = await context.call<{ tools: ToolDescription[] }>("tool:list", {});
  const tools = toolsFor({ capabilities: run.capabilities, commands: context.describeCommands(), tools: registered, text: pattern.text });
  const offered = [...tools.map(({ name, description, parameters }) => ({ name, description, parameters })), returning, aborting];

  const effects: Effects = {
    ...options.effects,
    perform(effect, step, signal, purse) {
      if (effect.kind !== "think") return options.effects.perform(effect, step, signal, purse);
      return thinker.ask({ ...promptOf(said, options), tools: offered }, step, signal, purse);
    },
  };
  const steps = createSteps({ ...options, effects });
  const repetition = watchRepetition();

  for (let turn = 1, idle = 0; ; turn++) {
    const reply = (await steps.effect(steps.main, 0, { kind: "think", turn })) as Reply;
    // What was paid for is not asked again after a crash.
    await journal.flush();
    said.push({ reply });
    const step = String(steps.main.count);
    // The acts of a thought are numbered below it, each call by itself: what one comes to does not depend on the others.
    const branch = steps.fork(steps.main);
    idle = reply.tool_calls.length === 0 ? idle + 1 : 0;
    if (idle >= idleAnswers) {
      await claims.check(reply.text, step);
      return reply.text;
    }
    if (idle > 0) said.push({ reminder: "Act through the tools. When all is done, call return." });
    for (const [index, call] of reply.tool_calls.entries()) {
      if (call.invalid === undefined && call.name === returning.name) {
        const { value = null } = (call.arguments ?? {}) as { value?: unknown };
        await claims.check(`${reply.text}\n${textIn(value)}`, step);
        return value;
      }
      if (call.invalid === undefined && call.name === aborting.name) {
        throw new CodedError("RUN_ABORTED", String((call.arguments as { reason?: unknown }).reason ?? "The model gave up."));
      }
      const thread: Thread = { ...branch(index), repetition };
      said.push({ call, result: await actOn(call, tools, (effect) => steps.effect(thread, 0, effect), thread) });
    }
    if (reply.text !== "") await claims.check(reply.text, step);
  }
}

/** An error that does not end the run is what the model sees. */
async function actOn(
  call: ToolCall,
  tools: readonly ActingTool[],
  step: Parameters<ActingTool["act"]>[1],
  { signal }: Thread,
): Promise<unknown> {
  const tool = tools.find(({ name }) => name === call.name);
  if (call.invalid !== undefined || tool === undefined) {
    return { error: { code: "REQUEST_INVALID", message: call.invalid ?? `There is no tool ${call.name}.` } };
  }
  try {
    return { result: (await tool.act(call.arguments, step)) ?? null };
  } catch (error) {
    signal.throwIfAborted();
    if (isFinal(error)) throw error;
    const { code, message } = error as CodedError;
    return { error: { code, message } };
  }
}

function promptOf(said: readonly Said[], { pattern, run, variables }: ThinkOptions): { system: string; messages: Message[] } {
  const fence = createFence();
  const allowed = run.capabilities === undefined ? "everything" : run.capabilities.join(", ") || "nothing";
  const system = [
    "You play a pattern: you do what it says, statement by statement, in its order, through the tools, and decide where it leaves that to you.",
    "Statements are in capitals: EMIT, CALL, RUN, SPAWN and so on are tools of like names; conditions, loops and variables are yours to keep.",
    "Lines of prose are for your judgement; record each that matters with composition__track_decision, if you have it.",
    "Emit exactly the events that the pattern asks for. Claim nothing that you did not do through a tool.",
    "When the pattern is played, call return with its result: what it RETURNs, else its variables at the end. Call abort only where it cannot be played.",
    `Allowed to this run: ${allowed}. What is refused stays refused.`,
    profileRule,
    fence.rule,
  ].join("\n");
  const task = [
    ...toldProfile(run, fence),
    fence.data("The pattern", numbered(pattern.text)),
    fence.data("Its variables at the start", variables),
  ].join("\n\n");
  return { system, messages: [{ role: "user", content: task }, ...said.map((one) => toMessage(one, fence))] };
}

function toMessage(one: Said, fence: Fence): Message {
  if ("reminder" in one) return { role: "user", content: one.reminder };
  if ("call" in one) return { role: "tool", tool_call_id: one.call.id, name: one.call.name, content: fence.data("Its result", one.result) };
  const { text, tool_calls, continuation } = one.reply;
  return { role: "assistant", content: text, tool_calls, continuation };
}

const numbered = (text: string): string =>
  text
    .split("\n")
    .map((line, index) => `${String(index + 1).padStart(4)}  ${line}`)
    .join("\n");

/** The texts in a value: what a model says in its result is a claim, too. */
function textIn(value: unknown): string {
  if (typeof value === "string") return value;
  return value !== null && typeof value === "object" ? Object.values(value).map(textIn).join("\n") : "";
}
