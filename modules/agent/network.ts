/** Our agents as others see them, and what is asked while somebody waits for an answer. */
import { CodedError } from "../../daemon/errors.ts";
import type { AgentHost, Caller, EventRecord, HostedAgent, PromptStream } from "../../daemon/module.ts";
import type { Approval, Home } from "./home.ts";
import { send } from "./messages.ts";
import { type AgentRecord, isLiving, type Pending } from "./registry.ts";
import type { Message } from "./wire.ts";

/** Whoever prompts an agent of ours over the network is a client. */
const prompter: Caller = { kind: "client", id: "agents" };

export function hostOf(home: Home): AgentHost {
  const { registry } = home;
  return {
    *list() {
      for (const one of registry.living()) yield hostedOf(one);
    },
    find(id) {
      const found = registry.agents.get(id);
      return found !== undefined && isLiving(found) ? hostedOf(found) : undefined;
    },
    answer: (agent, prompt, stream) => answerPrompt(home, agent.id, prompt, stream),
  };
}

export const hostedOf = ({ agent_id, name, profile, task, state }: AgentRecord): HostedAgent => ({
  id: agent_id,
  description: [name, profile, task].filter((text) => text !== undefined).join(": "),
  state,
});

/** A prompt is a message like any other; its reply is what is said. */
async function answerPrompt(home: Home, to: string, prompt: string, stream: PromptStream): Promise<void> {
  const id = home.context.newId();
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
  promise.catch(() => {}); // awaited below, once the prompt was sent
  const abort = () => reject(stream.signal.reason);
  stream.signal.addEventListener("abort", abort, { once: true });
  home.replies.set(id, resolve);
  home.prompts.set(to, stream);
  try {
    const meta = { id, correlation: id, hops: 0 };
    await send({ to, message: prompt, expects_reply: true }, { state: home, caller: prompter, meta, signal: stream.signal });
    const { message, error } = await promise;
    if (error !== undefined) throw new CodedError("AGENT_CANNOT_ANSWER", error.message, { ...error.details, code: error.code });
    stream.say(typeof message === "string" ? message : JSON.stringify(message ?? null));
  } finally {
    stream.signal.removeEventListener("abort", abort);
    home.replies.delete(id);
    if (home.prompts.get(to) === stream) home.prompts.delete(to);
  }
}

/** A question of an agent goes to whoever has just prompted it; what needs a human's approval does not. */
export async function onRequested(home: Home, { data }: EventRecord): Promise<void> {
  const { id, hash, agent_id, action, options, for: capability } = data as Approval;
  const stream = home.prompts.get(agent_id ?? "");
  if (stream === undefined || action.ask === undefined || capability !== undefined) return;
  const offered = options === undefined ? "" : ` (${options.map((option) => textOf(option)).join(", ")})`;
  // Beside the delivery, which must not wait for a person.
  void stream
    .ask(`${action.ask}${offered}`)
    .then((text) => {
      const option = options?.find((one) => textOf(one) === text.trim()) ?? text;
      const decision = { id, hash, decision: "option", option, by: "whoever prompted the agent" };
      return home.context.call("approval:decide", decision, { caller: prompter });
    })
    .catch((error: unknown) => home.context.log.info({ approval: id, error }, "a question to whoever prompted was not answered"));
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

/** Tells whoever waits for a human's answer. */
export function onDecided(home: Home, { data }: EventRecord): void {
  const { id } = data as Approval;
  home.decisions.get(id)?.(data as Approval);
}

/** Has a human answer a question, at no cost while it waits. @throws CodedError APPROVAL_DENIED */
export async function askHuman(home: Home, agent: AgentRecord, asked: Pending, question: string, signal: AbortSignal): Promise<string> {
  const caller: Caller = { kind: "agent", id: agent.agent_id };
  const cause = { ...asked.place, id: asked.message_id };
  let approval = await home.context.call<Approval>("approval:request", { action: { ask: question } }, { caller, cause });
  if (approval.state === "pending") {
    const { promise, resolve, reject } = Promise.withResolvers<Approval>();
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    home.decisions.set(approval.id, resolve);
    try {
      approval = await promise;
    } finally {
      signal.removeEventListener("abort", abort);
      home.decisions.delete(approval.id);
    }
  }
  const { id, state, decision, option } = approval;
  if (state === "approved") return decision === "option" ? textOf(option) : "yes";
  if (state === "denied") return "no";
  throw new CodedError("APPROVAL_DENIED", `Nobody answered the question: it is ${state}.`, { approval: id, state });
}
