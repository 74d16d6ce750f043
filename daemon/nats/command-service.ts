/**
 * Answers commands over NATS: a micro service named `reprise` with one endpoint a command, in a queue group that several
 * daemons share.
 */
import { type ServiceMsg, Svcm } from "@nats-io/services";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";
import { decodeRequest, isTooDeep, parseJson, unreadable } from "../events/envelope.ts";
import { newId } from "../events/ids.ts";
import type { Router } from "../router.ts";
import type { Subjects } from "./subjects.ts";

export interface CommandServiceOptions {
  readonly connection: NatsConnection;
  readonly router: Router;
  readonly subjects: Subjects;
  readonly version: string;
  readonly log: Logger;
}

export interface CommandService {
  /** Takes no more requests; resolves when those under way are answered. */
  stop(): Promise<void>;
}

/** Begins to answer all commands of the router. */
export async function serveCommands(options: CommandServiceOptions): Promise<CommandService> {
  const { connection, router, subjects, version, log } = options;
  const underWay = new Set<Promise<void>>();
  const service = await new Svcm(connection).add({
    name: "reprise",
    version,
    description: "Reprise: events, patterns, agents",
    queue: "reprise",
  });
  for (const name of router.names()) {
    service.addEndpoint(name.replace(":", "_"), {
      subject: subjects.command(name),
      handler: (error, message) => {
        if (error !== null) return;
        const answered = answer(name, message, options)
          .catch((failure: unknown) => log.error({ error: failure, command: name }, "an answer could not be sent"))
          .finally(() => underWay.delete(answered));
        underWay.add(answered);
      },
    });
  }
  await connection.flush(); // whoever is told that it is ready, is answered
  return {
    async stop() {
      await service.stop();
      await Promise.all(underWay);
    },
  };
}

async function answer(name: string, message: ServiceMsg, { router, subjects, log }: CommandServiceOptions): Promise<void> {
  if (message.reply !== undefined && !subjects.isReplySubject(message.reply)) {
    log.warn({ command: name, reply: message.reply }, "a request asks for its reply in a stream of ours; it is not answered");
    return;
  }
  try {
    const { source, ...meta } = decodeRequest(message.headers);
    const input = parseJson(message.data);
    if (input === unreadable) throw new CodedError("REQUEST_MALFORMED", "the payload is not JSON");
    const caller = router.callerOf({ ...(meta.agent !== undefined && { agent: meta.agent }), ...(source !== undefined && { source }) });
    const result = await router.call(name, input, caller, meta);
    message.respond(JSON.stringify(result ?? {}));
  } catch (error) {
    const coded = error instanceof CodedError ? error : (tooDeep(error, message.data) ?? unexpected(name, error, log));
    message.respondError(coded.status, coded.toHeader(), JSON.stringify(coded.toBody()));
  }
}

/** What is nested very deep exhausts the stack of whatever goes through it; where that happened, the caller can help it. */
function tooDeep(error: unknown, payload: Uint8Array): CodedError | undefined {
  if (!(error instanceof RangeError) || !isTooDeep(payload)) return undefined;
  return new CodedError("REQUEST_MALFORMED", "the payload is nested too deep");
}

/** A defect of ours: the caller learns where to look, the log has the details. */
function unexpected(name: string, error: unknown, log: Logger): CodedError {
  const incident = newId();
  log.error({ error, command: name, incident }, "a command failed unexpectedly");
  return new CodedError("INTERNAL", `${name} failed unexpectedly; incident ${incident} is in the daemon's log`, { incident });
}
