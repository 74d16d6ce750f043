/**
 * Publishes to a stream and waits for the acknowledgement, many at a time.
 *
 * With `grouping`, publishes that wait together go out as one atomic batch: on a server that syncs every write a batch of 64
 * costs about as much as 15 single publishes. On a server that does not sync, singles are faster and grouping is off.
 *
 * 1. A promise resolves only when the stream acknowledged the message.
 * 2. A lost connection or a missing acknowledgement rejects with EVENT_OUTCOME_UNKNOWN: it may be stored.
 * 3. While disconnected nothing is sent, so that the client's buffer cannot grow: EVENT_LOG_UNAVAILABLE.
 */
import { createInbox, type Msg, type MsgHdrs, type NatsConnection, nuid, type Subscription } from "@nats-io/transport-node";
import { CodedError } from "../errors.ts";

export interface OutgoingMessage {
  readonly subject: string;
  readonly headers: MsgHdrs;
  readonly payload: Uint8Array | string;
}

export interface Acknowledgement {
  readonly seq: number;
  /** The stream already had a message with this Nats-Msg-Id; `seq` is that one's. */
  readonly duplicate: boolean;
}

interface Waiting {
  readonly deadline: number;
  resolve(acknowledgement: Acknowledgement): void;
  reject(error: Error): void;
}

interface Queued extends Omit<Waiting, "deadline"> {
  readonly message: OutgoingMessage;
}

/** JetStream's reply to a publish. */
interface PublishReply {
  seq: number;
  duplicate?: boolean;
  error?: { code: number; err_code: number; description: string };
}

/** NATS's own answer when nobody listens. */
const noResponder: PublishReply = { seq: 0, error: { code: 503, err_code: 0, description: "no stream takes events: is JetStream on?" } };

const acknowledgementTimeout = 5_000;
/** Below this many waiting messages singles are as fast as a batch (measured: about 2.5 ms a batch, 0.19 ms a single). */
const smallestGroup = 12;
const largestGroup = 256;
const duplicateInBatch = 10201;

export class Publisher implements Disposable {
  readonly #connection: NatsConnection;
  readonly #inbox = createInbox();
  readonly #subscription: Subscription;
  readonly #waiting = new Map<string, Waiting>();
  readonly #sweeper: NodeJS.Timeout;
  readonly #grouping: boolean;
  #queue: Queued[] = [];
  #groupInFlight = false;
  #flushRequested = false;
  #connected = true;
  #nextReply = 0;

  constructor(connection: NatsConnection, options: { grouping: boolean }) {
    this.#connection = connection;
    this.#grouping = options.grouping;
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, { callback: (error, reply) => this.#onReply(error, reply) });
    this.#sweeper = setInterval(() => this.#rejectOverdue(), 500).unref();
  }

  /** Publishes one message; concurrent calls may share an atomic batch. */
  publish(message: OutgoingMessage): Promise<Acknowledgement> {
    if (!this.#connected) return Promise.reject(unavailable());
    if (!this.#grouping) return this.#publishSingle(message);
    return new Promise((resolve, reject) => {
      this.#queue.push({ message, resolve, reject });
      this.#requestFlush();
    });
  }

  /** Publishes all or none, in consecutive sequences; none if the stream has one of the ids. */
  async publishAtomically(messages: readonly OutgoingMessage[]): Promise<Acknowledgement[] | "contains a duplicate"> {
    if (!this.#connected) throw unavailable();
    if (messages.length === 1 && messages[0] !== undefined) return [await this.#publishSingle(messages[0])];
    const last = await this.#publishBatch(messages);
    if (last === "contains a duplicate") return last;
    return messages.map((_, index) => ({ seq: last - messages.length + 1 + index, duplicate: false }));
  }

  /** To be told by the connection's owner, which sees its status. */
  setConnected(connected: boolean): void {
    this.#connected = connected;
    if (connected) return;
    for (const { reject } of this.#queue.splice(0)) reject(unavailable());
    for (const [reply, waiting] of this.#waiting) {
      this.#waiting.delete(reply);
      waiting.reject(outcomeUnknown("the connection to NATS was lost"));
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#sweeper);
    this.#subscription.unsubscribe();
    this.setConnected(false);
  }

  #requestFlush(): void {
    if (this.#flushRequested || this.#groupInFlight) return;
    this.#flushRequested = true;
    // After all requests of the same socket read were handled, so that they share a group.
    queueMicrotask(() => {
      this.#flushRequested = false;
      void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    if (this.#groupInFlight) return;
    this.#groupInFlight = true;
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, largestGroup);
      if (group.length < smallestGroup) {
        await this.#sendSingles(group);
      } else {
        const start = performance.now();
        await this.#sendGroup(group);
        const expected = Math.min(group.length + this.#queue.length, largestGroup);
        await this.#gather(expected, (performance.now() - start) / 2);
      }
    }
    this.#groupInFlight = false;
  }

  /**
   * Clients that were just answered are about to send their next message. A group costs the same whatever its size, so it pays
   * to wait for them rather than to have two halves of the clients take turns.
   * @param limit milliseconds
   */
  async #gather(expected: number, limit: number): Promise<void> {
    const deadline = performance.now() + limit;
    while (this.#queue.length < expected && performance.now() < deadline) await new Promise(setImmediate);
  }

  async #sendSingles(group: readonly Queued[]): Promise<void> {
    await Promise.all(group.map(({ message, resolve, reject }) => this.#publishSingle(message).then(resolve, reject)));
  }

  async #sendGroup(group: readonly Queued[]): Promise<void> {
    try {
      const last = await this.#publishBatch(group.map(({ message }) => message));
      if (last === "contains a duplicate") return await this.#sendSingles(group);
      for (const [index, { resolve }] of group.entries()) resolve({ seq: last - group.length + 1 + index, duplicate: false });
    } catch (error) {
      for (const { reject } of group) reject(error as Error);
    }
  }

  #publishSingle(message: OutgoingMessage): Promise<Acknowledgement> {
    return new Promise((resolve, reject) => this.#send(message, { resolve, reject }));
  }

  /** @returns the sequence of the last message */
  async #publishBatch(messages: readonly OutgoingMessage[]): Promise<number | "contains a duplicate"> {
    const id = nuid.next();
    const acknowledged = Promise.withResolvers<Acknowledgement>();
    for (const [index, message] of messages.entries()) {
      const { headers } = message;
      headers.set("Nats-Batch-Id", id);
      headers.set("Nats-Batch-Sequence", String(index + 1));
      if (index < messages.length - 1) {
        this.#connection.publish(message.subject, message.payload, { headers });
      } else {
        headers.set("Nats-Batch-Commit", "1");
        this.#send(message, acknowledged);
      }
    }
    try {
      return (await acknowledged.promise).seq;
    } catch (error) {
      if (!(error instanceof DuplicateInBatch)) throw error;
      for (const { headers } of messages) {
        for (const key of ["Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"]) headers.delete(key);
      }
      return "contains a duplicate";
    }
  }

  #send(message: OutgoingMessage, { resolve, reject }: Omit<Waiting, "deadline">): void {
    const reply = `${this.#inbox}.${this.#nextReply++}`;
    this.#waiting.set(reply, { deadline: Date.now() + acknowledgementTimeout, resolve, reject });
    try {
      this.#connection.publish(message.subject, message.payload, { headers: message.headers, reply });
    } catch (error) {
      this.#waiting.delete(reply);
      reject(new CodedError("EVENT_LOG_UNAVAILABLE", "the connection to NATS is closed", {}, { cause: error }));
    }
  }

  #onReply(error: Error | null, reply: Msg): void {
    const waiting = this.#waiting.get(reply.subject);
    if (error !== null || waiting === undefined) return;
    this.#waiting.delete(reply.subject);
    const answer = reply.headers?.code === 503 ? noResponder : reply.json<PublishReply>();
    if (answer.error === undefined) waiting.resolve({ seq: answer.seq, duplicate: answer.duplicate === true });
    else if (answer.error.err_code === duplicateInBatch) waiting.reject(new DuplicateInBatch());
    else waiting.reject(unavailable(answer.error.description, { server_code: answer.error.err_code }));
  }

  #rejectOverdue(): void {
    const now = Date.now();
    for (const [reply, waiting] of this.#waiting) {
      if (waiting.deadline > now) return; // in order of sending: all later ones have more time
      this.#waiting.delete(reply);
      waiting.reject(outcomeUnknown(`no acknowledgement within ${acknowledgementTimeout / 1000} s`));
    }
  }
}

class DuplicateInBatch extends Error {}

const unavailable = (reason = "not connected to NATS", details: Record<string, unknown> = {}) =>
  new CodedError("EVENT_LOG_UNAVAILABLE", `the event log takes no writes: ${reason}`, details);

const outcomeUnknown = (reason: string) =>
  new CodedError("EVENT_OUTCOME_UNKNOWN", `the event may or may not be stored: ${reason}; repeat it with the same id`);
