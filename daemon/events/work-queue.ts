/**
 * Takes messages from a durable consumer and sees each through: handled, tried again later, or given up for good.
 *
 * 1. A message is acknowledged only after its handler, or `giveUp`, succeeded; neither can end the process.
 * 2. Handlers start in stream order and run concurrently, at most `maxInFlight`; the server is told that a long one is alive.
 * 3. A failed message comes again after each of the pauses; then, or at once for an error that is not retryable, it is given up.
 */
import type { ConsumerMessages, JetStreamClient, JsMsg } from "@nats-io/jetstream";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";

export interface WorkQueueOptions {
  readonly client: JetStreamClient;
  readonly stream: string;
  /** Name of the durable consumer, which exists. */
  readonly consumer: string;
  readonly log: Logger;
  /** Milliseconds between deliveries of a message that fails; there is one delivery more than pauses. */
  readonly pauses: readonly number[];
  handle(message: JsMsg): Promise<void>;
  /** @param deliveries how often the message was delivered */
  giveUp(message: JsMsg, error: unknown, deliveries: number): Promise<void>;
  /** Told of each outcome, for counting. */
  onOutcome?(outcome: "handled" | "failed" | "given up"): void;
}

/** DESIGN §9: five deliveries. */
export const deliveryPauses: readonly number[] = [1_000, 5_000, 30_000, 120_000];
export const maxInFlight = 512;
/** Bytes of messages that are asked for ahead. */
const maxBytes = 8 * 1024 * 1024;
const progressEvery = 10_000;
/** How long a message may stay unanswered, in JetStream's nanoseconds; progress is reported well within. */
export const acknowledgeWithin = 30_000_000_000;

export class WorkQueue implements AsyncDisposable {
  readonly #options: WorkQueueOptions;
  readonly #inFlight = new Map<JsMsg, Promise<void>>();
  readonly #progress: NodeJS.Timeout;
  #messages: ConsumerMessages | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#progress = setInterval(() => {
      for (const message of this.#inFlight.keys()) message.working();
    }, progressEvery).unref();
  }

  async start(): Promise<void> {
    const consumer = await this.#options.client.consumers.get(this.#options.stream, this.#options.consumer);
    const callback = (message: JsMsg) => {
      const taken = this.#take(message).finally(() => this.#inFlight.delete(message));
      this.#inFlight.set(message, taken);
    };
    this.#messages = await consumer.consume({ max_bytes: maxBytes, callback });
  }

  /** Takes no more; what is in flight goes on. */
  async stopTaking(): Promise<void> {
    await this.#messages?.close();
  }

  /** Takes no more and waits for what is in flight. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopTaking();
    await Promise.all(this.#inFlight.values());
    clearInterval(this.#progress);
  }

  async #take(message: JsMsg): Promise<void> {
    const { handle, onOutcome } = this.#options;
    try {
      // More deliveries than are ever asked for: earlier ones ended with the process.
      if (message.info.deliveryCount > this.#options.pauses.length + 1) throw new UnansweredDeliveries();
      await handle(message);
      message.ack();
      onOutcome?.("handled");
    } catch (error) {
      await this.#onFailure(message, error);
    }
  }

  async #onFailure(message: JsMsg, error: unknown): Promise<void> {
    const { log, pauses, consumer, onOutcome, giveUp } = this.#options;
    const deliveries = message.info.deliveryCount;
    const final = deliveries > pauses.length || (error instanceof CodedError && !error.retryable);
    log.warn({ error, consumer, subject: message.subject, seq: message.seq, deliveries, final }, "a delivery failed");
    onOutcome?.(final ? "given up" : "failed");
    if (!final) return message.nak(pauses[deliveries - 1]);
    try {
      await giveUp(message, error, deliveries);
      message.ack();
    } catch (unstored) {
      log.error({ error: unstored, consumer, seq: message.seq }, "a dead letter could not be stored; the message is tried again");
      message.nak(pauses.at(-1));
    }
  }
}

class UnansweredDeliveries extends Error {
  override readonly message = "every delivery ended without an answer: the daemon ended while handling it";
}
