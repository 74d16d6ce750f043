/** Asks commands over NATS as a plain client would. */
import assert from "node:assert/strict";
import { headers, type NatsConnection } from "@nats-io/transport-node";

export interface ErrorReply {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Asker {
  /** @param body a value to send as JSON, or a text to send as it is */
  ask<Reply = Record<string, unknown>>(command: string, body?: unknown, head?: Record<string, string>): Promise<Reply>;
  codeOf(command: string, body?: unknown, head?: Record<string, string>): Promise<string>;
  /** Asks a command that is expected to fail and returns the error. */
  errorOf(command: string, body?: unknown, head?: Record<string, string>): Promise<ErrorReply>;
}

export function askerOn(client: NatsConnection, prefix?: string): Asker {
  const request = async (command: string, body: unknown = {}, head: Record<string, string> = {}) => {
    const sent = headers();
    for (const [key, value] of Object.entries(head)) sent.append(key, value);
    const subject = prefix === undefined ? command : `${prefix}.${command}`;
    const reply = await client.request(subject, typeof body === "string" ? body : JSON.stringify(body), { timeout: 60_000, headers: sent });
    return { status: reply.headers?.get("Nats-Service-Error-Code") ?? "", body: reply.json<Record<string, unknown>>() };
  };
  const errorOf: Asker["errorOf"] = async (command, body, head) => {
    const reply = await request(command, body, head);
    assert.notEqual(reply.status, "", `${command} answered ${JSON.stringify(reply.body)} where an error was expected`);
    const { error } = reply.body as { error: ErrorReply };
    assert.ok(error.message.length > 0);
    return error;
  };
  return {
    errorOf,
    async ask<Reply>(command: string, body?: unknown, head?: Record<string, string>) {
      const reply = await request(command, body, head);
      assert.equal(reply.status, "", `${command} answered ${JSON.stringify(reply.body)}`);
      return reply.body as Reply;
    },
    codeOf: async (command, body, head) => (await errorOf(command, body, head)).code,
  };
}
