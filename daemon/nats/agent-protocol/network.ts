/** Agents of others' making, found and prompted by the Synadia Agent Protocol; see serve.ts for the other way. */
import { createInbox, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { CodedError } from "../../errors.ts";
import type { AgentNetwork, ForeignAgent } from "../../module.ts";
import { ownInbox } from "../subjects.ts";
import { type ServeOptions, serveAgents } from "./serve.ts";
import { decodeChunk, objectIn } from "./wire.ts";

/** Milliseconds. Discovery ends when nobody spoke for the first, or after the second. */
const discovery = { pause: 500, limit: 2_000 };
/** Milliseconds without a chunk after which an agent counts as gone. */
const longestSilence = 60_000;
/** Characters of an answer. */
const longestAnswer = 512 * 1024;

export const openAgentNetwork = (options: ServeOptions): AgentNetwork => ({
  serve: (host) => serveAgents(options, host),
  discover: (signal) => discover(options, signal),
  prompt: (subject, prompt, more) => promptAgent(options, subject, prompt, more),
});

async function discover({ nats, subjects }: ServeOptions, signal: AbortSignal): Promise<ForeignAgent[]> {
  const found: ForeignAgent[] = [];
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const inbox = createInbox(ownInbox);
  let silence = setTimeout(end, discovery.pause);
  const limit = setTimeout(end, discovery.limit);
  const subscription = nats.subscribe(inbox, {
    callback(error, message) {
      const agent = error === null ? foreignAgentIn(message) : undefined;
      if (agent === undefined || !subjects.agents.isForeignPrompt(agent.subject)) return;
      found.push(agent);
      clearTimeout(silence);
      silence = setTimeout(end, discovery.pause);
    },
  });
  signal.addEventListener("abort", () => end(), { once: true });
  const [, ofAgents = ""] = subjects.agents.control("INFO");
  try {
    nats.publish(ofAgents, undefined, { reply: inbox });
    await ended;
    signal.throwIfAborted();
    return found.sort((left, right) => (left.subject < right.subject ? -1 : 1));
  } finally {
    clearTimeout(silence);
    clearTimeout(limit);
    subscription.unsubscribe();
  }
}

/** Services that are no agents of this protocol are passed over. */
function foreignAgentIn({ data }: Msg): ForeignAgent | undefined {
  const info = objectIn(data) as
    | { name?: unknown; description?: unknown; metadata?: Record<string, unknown>; endpoints?: unknown }
    | undefined;
  if (info?.name !== "agents" || !Array.isArray(info.endpoints)) return undefined;
  const { agent, owner, protocol_version } = info.metadata ?? {};
  const prompt = info.endpoints.find((endpoint) => endpoint?.name === "prompt");
  if (typeof agent !== "string" || typeof owner !== "string" || typeof protocol_version !== "string") return undefined;
  if (typeof prompt?.subject !== "string") return undefined;
  const name = prompt.subject.split(".")[4] ?? "";
  return { agent, owner, name, description: String(info.description ?? ""), subject: prompt.subject };
}

async function promptAgent(
  { nats, subjects }: ServeOptions,
  subject: string,
  prompt: string,
  { signal, onQuery }: Parameters<AgentNetwork["prompt"]>[2],
): Promise<string> {
  if (!subjects.agents.isForeignPrompt(subject)) {
    throw new CodedError("NAME_INVALID", `"${subject}" is not where another's agent takes prompts: agents.prompt.AGENT.OWNER.NAME`, {
      subject,
    });
  }
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const inbox = createInbox(ownInbox);
  let said = "";
  const gone = () => reject(unreachable(subject, `${longestSilence / 1000} s without a word`));
  let silence = setTimeout(gone, longestSilence);
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });

  const take = (message: Msg): void => {
    clearTimeout(silence);
    silence = setTimeout(gone, longestSilence);
    const status = message.headers?.get("Nats-Service-Error-Code") ?? "";
    if (message.headers?.code === 503) throw unreachable(subject, "nobody listens there");
    if (status !== "") throw refused(subject, status, message.headers?.get("Nats-Service-Error") ?? "");
    if (message.data.length === 0) {
      if (message.headers === undefined) resolve(said);
      return;
    }
    const chunk = decodeChunk(message.data);
    if (chunk?.type === "response") said += chunk.data;
    if (said.length > longestAnswer) throw tooLong(subject);
    if (chunk?.type === "query") answerQuery(nats, subjects.isReplySubject, chunk.data, onQuery).catch(reject);
  };
  const subscription = nats.subscribe(inbox, {
    callback(error, message) {
      try {
        if (error !== null) throw error;
        take(message);
      } catch (failure) {
        reject(failure);
      }
    },
  });
  try {
    nats.publish(subject, JSON.stringify({ prompt }), { reply: inbox });
    return await promise;
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", abort);
    subscription.unsubscribe();
  }
}

/** What is asked goes with the daemon's rights where the agent says: not into the daemon's own streams. */
async function answerQuery(
  nats: NatsConnection,
  isReplySubject: (subject: string) => boolean,
  { reply_subject, prompt }: { reply_subject: string; prompt: string },
  onQuery: (question: string) => Promise<string>,
): Promise<void> {
  const isInbox = /^_INBOX[\w.-]*$/.test(reply_subject) && isReplySubject(reply_subject);
  if (!isInbox) throw new CodedError("AGENT_CANNOT_ANSWER", "The agent wants the answer to its question somewhere that is no inbox.", {});
  const answer = await onQuery(prompt);
  nats.publish(reply_subject, JSON.stringify({ prompt: answer }));
}

const unreachable = (subject: string, why: string) =>
  new CodedError("AGENT_UNREACHABLE", `The agent at ${subject} does not answer: ${why}.`, { subject });
const refused = (subject: string, status: string, why: string) =>
  new CodedError("AGENT_CANNOT_ANSWER", `The agent at ${subject} answers ${status}: ${why}`, { subject, status: Number(status) });
const tooLong = (subject: string) =>
  new CodedError("AGENT_CANNOT_ANSWER", `The agent at ${subject} says more than ${longestAnswer} characters.`, { subject });
