/**
 * Makes our agents reachable by the Synadia Agent Protocol. All of them share one subscription for each verb, so that an idle
 * agent costs nothing here; asked who is there, the daemon answers for each.
 */
import { createInbox, headers, type Msg, type NatsConnection, type Subscription } from "@nats-io/transport-node";
import type { Logger } from "pino";
import { CodedError } from "../../errors.ts";
import { newId } from "../../events/ids.ts";
import type { AgentHost, AgentNetwork, HostedAgent, PromptStream } from "../../module.ts";
import { agentKind, ownInbox, type Subjects } from "../subjects.ts";
import { type Chunk, decodePrompt, encodeChunk, heartbeatInterval, pieces, protocolVersion } from "./wire.ts";

export interface ServeOptions {
  readonly nats: NatsConnection;
  readonly subjects: Subjects;
  readonly version: string;
  readonly log: Logger;
}

const queue = "agents";
/** Milliseconds. Whoever prompts gives up after a minute without a chunk. */
const keepAliveEvery = 20_000;
const longestAnswer = 600_000;
const mostAtOnce = 1_000;
/** Messages about agents that are sent before others have their turn. */
const perTurn = 500;

export function serveAgents({ nats, subjects, version, log }: ServeOptions, host: AgentHost): ReturnType<AgentNetwork["serve"]> {
  const { agents } = subjects;
  const stopping = new AbortController();
  const underWay = new Set<Promise<void>>();

  const respond = (message: Msg, payload: string) => {
    if (message.reply !== undefined && subjects.isReplySubject(message.reply)) nats.publish(message.reply, payload);
  };

  const heartbeatOf = ({ id, state }: HostedAgent) =>
    JSON.stringify({
      agent: agentKind,
      owner: agents.owner,
      session: id,
      instance_id: id,
      ts: new Date().toISOString(),
      interval_s: heartbeatInterval,
      state,
    });

  const identityOf = ({ id }: HostedAgent) => ({
    name: "agents",
    id,
    version,
    metadata: { agent: agentKind, owner: agents.owner, session: id, protocol_version: protocolVersion },
  });

  const endpointsOf = ({ id }: HostedAgent) => [
    {
      name: "prompt",
      subject: agents.prompt(id),
      queue_group: queue,
      metadata: { max_payload: `${Math.floor((nats.info?.max_payload ?? 1_048_576) / 1024)}KB`, attachments_ok: "false" },
    },
    { name: "status", subject: agents.status(id), queue_group: queue },
  ];

  const describe = {
    PING: (agent: HostedAgent) => ({ type: "io.nats.micro.v1.ping_response", ...identityOf(agent) }),
    INFO: (agent: HostedAgent) => ({
      type: "io.nats.micro.v1.info_response",
      ...identityOf(agent),
      description: agent.description,
      endpoints: endpointsOf(agent),
    }),
    STATS: (agent: HostedAgent) => ({ type: "io.nats.micro.v1.stats_response", ...identityOf(agent), endpoints: [] }),
  };

  /** For each agent, a few at a time. */
  async function forEach(visit: (agent: HostedAgent) => void, wanted?: string): Promise<void> {
    if (wanted !== undefined) {
      const found = host.find(wanted);
      if (found !== undefined) visit(found);
      return;
    }
    let count = 0;
    for (const agent of host.list()) {
      if (stopping.signal.aborted) return;
      visit(agent);
      if (++count % perTurn === 0) await new Promise(setImmediate);
    }
  }

  const control = (verb: keyof typeof describe): Subscription[] =>
    agents.control(verb).map((subject) => {
      const isOfOne = subject.endsWith(".*");
      return nats.subscribe(subject, {
        callback(error, message) {
          if (error !== null) return;
          const wanted = isOfOne ? agents.idIn(message.subject) : undefined;
          void forEach((agent) => respond(message, JSON.stringify(describe[verb](agent))), wanted);
        },
      });
    });

  async function answer(message: Msg): Promise<void> {
    const { reply } = message;
    if (reply === undefined || !subjects.isReplySubject(reply)) return;
    const send = (chunk: Chunk) => nats.publish(reply, encodeChunk(chunk));
    let alive: NodeJS.Timeout | undefined;
    try {
      const prompt = decodePrompt(message.data);
      const agent = host.find(agents.idIn(message.subject));
      if (agent === undefined) throw new CodedError("AGENT_NOT_FOUND", `There is no agent at ${message.subject}.`, {});
      if (underWay.size > mostAtOnce) {
        throw new CodedError("RUN_LIMIT_EXCEEDED", `${mostAtOnce} prompts are being answered; ask again later.`, { limit: "prompts" });
      }
      send({ type: "status", data: "ack" });
      alive = setInterval(() => send({ type: "status", data: "ack" }), keepAliveEvery);
      const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(longestAnswer)]);
      await host.answer(agent, prompt, streamTo(send, signal));
    } catch (error) {
      const coded = error instanceof CodedError ? error : new CodedError("REQUEST_TIMEOUT", "The agent did not answer in time.", {});
      if (coded !== error) log.warn({ error, subject: message.subject }, "a prompt was not answered");
      const head = headers();
      head.append("Nats-Service-Error-Code", String(coded.status));
      head.append("Nats-Service-Error", coded.toHeader());
      nats.publish(reply, JSON.stringify(coded.toBody()), { headers: head });
    } finally {
      clearInterval(alive);
      nats.publish(reply); // without body and headers: the end
    }
  }

  function streamTo(send: (chunk: Chunk) => void, signal: AbortSignal): PromptStream {
    return {
      signal,
      say(text) {
        for (const data of pieces(text)) send({ type: "response", data });
      },
      async ask(question) {
        const inbox = createInbox(ownInbox);
        const { promise, resolve, reject } = Promise.withResolvers<string>();
        const subscription = nats.subscribe(inbox, {
          max: 1,
          callback(_, message) {
            try {
              resolve(decodePrompt(message.data));
            } catch (error) {
              reject(error);
            }
          },
        });
        const abort = () => reject(signal.reason);
        signal.addEventListener("abort", abort, { once: true });
        try {
          send({ type: "query", data: { id: newId(), reply_subject: inbox, prompt: question } });
          return await promise;
        } finally {
          signal.removeEventListener("abort", abort);
          subscription.unsubscribe();
        }
      },
    };
  }

  const subscriptions = [
    nats.subscribe(agents.prompts, {
      queue,
      callback(error, message) {
        if (error !== null) return;
        const answered = answer(message).finally(() => underWay.delete(answered));
        underWay.add(answered);
      },
    }),
    nats.subscribe(agents.statuses, {
      queue,
      callback(error, message) {
        const found = error === null ? host.find(agents.idIn(message.subject)) : undefined;
        if (found !== undefined) respond(message, heartbeatOf(found));
      },
    }),
    ...control("PING"),
    ...control("INFO"),
    ...control("STATS"),
  ];
  const announce = (agent: HostedAgent) => nats.publish(agents.heartbeat(agent.id), heartbeatOf(agent));
  const heartbeats = setInterval(() => void forEach(announce), heartbeatInterval * 1000).unref();
  void forEach(announce);

  return {
    announce,
    async [Symbol.asyncDispose]() {
      clearInterval(heartbeats);
      for (const subscription of subscriptions) subscription.unsubscribe();
      stopping.abort(new CodedError("SHUTTING_DOWN", "the daemon stops"));
      await Promise.all(underWay);
    },
  };
}
