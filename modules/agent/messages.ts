/** Messages to agents and their replies: durable events, each to one receiver. */
import type { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { derivedId } from "../../daemon/events/message-ids.ts";
import type { Call, Caller, MessageMeta } from "../../daemon/module.ts";
import { type Home, nameOf } from "./home.ts";
import { type AgentRecord, isLiving, type Pending } from "./registry.ts";
import type { broadcastRequest, Message, sendReply, sendRequest } from "./wire.ts";

type Sent = z.output<typeof sendReply>;
/** What an agent replies: a message, or why there is none. */
export type Answer = Pick<Message, "message" | "error" | "usage">;
type Problem = NonNullable<Message["error"]>;

/** Unanswered messages that an agent may have; who sends more has to wait. */
const mostPending = 1000;

/** @throws CodedError AGENT_NOT_FOUND, AGENT_ENDED, CAPABILITY_DENIED, RUN_LIMIT_EXCEEDED */
export async function send(
  { to, in_reply_to, ...content }: z.output<typeof sendRequest>,
  { state: home, caller, meta, signal }: Pick<Call<Home>, "state" | "caller" | "meta" | "signal">,
): Promise<Sent> {
  const answered = in_reply_to === undefined ? undefined : await waitingFor(home, in_reply_to, signal);
  if (answered !== undefined) assertMayAnswer(answered, caller);
  const receiver = answered?.from ?? to;
  if (receiver === undefined) {
    const earlier = await home.context.events.find(sentId(meta.id), "agent:message_sent");
    if (earlier !== undefined) return { message_id: meta.id, to: (earlier.data as Message).to, seq: earlier.seq };
    throw new CodedError("REQUEST_INVALID", "agent:send: `to` is expected, or `in_reply_to` of a message that waits for an answer", {});
  }
  if (in_reply_to === undefined) assertReachable(home, home.registry.agents.get(receiver) ?? (await home.registry.find(receiver, signal)));
  return deliver(home, { message_id: meta.id, from: nameOf(caller), to: receiver, ...(in_reply_to && { in_reply_to }), ...content }, meta);
}

export async function broadcast(
  { to, message, expects_reply }: z.output<typeof broadcastRequest>,
  { state: home, caller, meta, signal }: Call<Home>,
): Promise<{ sent: Sent[] }> {
  const receivers = (await receiversOf(home, to, caller, signal)).filter(({ agent_id }) => agent_id !== caller.id);
  for (const receiver of receivers) assertReachable(home, receiver);
  const sent = receivers.map(({ agent_id }) =>
    deliver(
      home,
      {
        message_id: derivedId(meta.id, agent_id),
        from: nameOf(caller),
        to: agent_id,
        message,
        ...(expects_reply !== undefined && { expects_reply }),
      },
      meta,
    ),
  );
  return { sent: await Promise.all(sent) };
}

/** The answer of an agent of ours, once. */
export async function answer(home: Home, asked: Pending, content: Answer): Promise<void> {
  const reply = {
    message_id: derivedId(asked.message_id, "reply"),
    from: asked.to,
    to: asked.from,
    in_reply_to: asked.message_id,
    ...content,
  };
  // A reply is answered by nobody, so it does not lengthen a chain of messages, and can always be given.
  await deliver(home, reply, { ...asked.place, hops: asked.place.hops - 1, agent: asked.to });
}

export const answerWithError = (home: Home, asked: Pending, error: Problem): Promise<void> => answer(home, asked, { error });

/** The message, if it waits for an answer. Who hears of it by the log may answer before this module has read that it was sent. */
async function waitingFor({ registry }: Home, message_id: string, signal: AbortSignal): Promise<Pending | undefined> {
  const known = registry.pendingMessage(message_id);
  if (known !== undefined) return known;
  await registry.current(signal);
  return registry.pendingMessage(message_id);
}

/** Id of the event that tells of a message. */
const sentId = (message_id: string): string => derivedId(message_id, "sent");

async function deliver(home: Home, message: Message, place: Partial<MessageMeta>): Promise<Sent> {
  const { message_id, to, in_reply_to } = message;
  const { seq } = await home.context.emit("agent:message_sent", message, withoutId(place), { id: sentId(message_id) });
  if (in_reply_to !== undefined) {
    home.registry.settle(in_reply_to);
    home.replies.get(in_reply_to)?.(message);
  }
  return { message_id, to, seq };
}

const withoutId = ({ id: _, ...place }: Partial<MessageMeta>) => place;

/** An agent answers for itself alone. */
function assertMayAnswer({ to, message_id }: Pending, { kind, id }: Caller): void {
  if (kind !== "agent" || id === to) return;
  throw new CodedError("CAPABILITY_DENIED", `${id} may not answer a message to ${to}`, { caller: id, target: to, message_id });
}

function assertReachable({ registry }: Home, { agent_id, state }: AgentRecord): void {
  if (!isLiving({ state })) throw new CodedError("AGENT_ENDED", `The agent ${agent_id} is ${state}.`, { agent_id, state });
  if ((registry.pending.get(agent_id)?.size ?? 0) >= mostPending) {
    throw new CodedError("RUN_LIMIT_EXCEEDED", `The agent ${agent_id} has ${mostPending} messages that it has not answered.`, {
      limit: "messages",
      allowed: mostPending,
    });
  }
}

async function receiversOf(
  { registry }: Home,
  to: z.output<typeof broadcastRequest>["to"],
  { kind, id }: Caller,
  signal: AbortSignal,
): Promise<AgentRecord[]> {
  await registry.current(signal);
  if (to === "children") {
    if (kind !== "agent")
      throw new CodedError("REQUEST_INVALID", "agent:broadcast: only an agent has children; name a group or a profile", {});
    return registry.childrenOf(id);
  }
  if ("agents" in to) return to.agents.map((agent_id) => registry.get(agent_id));
  return [...registry.living()].filter((one) => ("group" in to ? one.group === to.group : one.profile === to.profile));
}
