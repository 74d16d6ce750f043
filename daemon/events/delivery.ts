/**
 * Delivers stored events to listeners, at least once each, through durable consumers.
 *
 * 1. An event is acknowledged only after its handler succeeded or its dead letter was stored.
 * 2. Handlers start in log order and run concurrently, at most `maxInFlight` of one listener.
 * 3. A failed delivery is tried again after 1, 5, 30 and 120 s; the fifth failure makes a dead letter. An error that says
 *    itself that it is not retryable makes one at once.
 */
import {
  AckPolicy,
  type ConsumerMessages,
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from "@nats-io/jetstream";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { EventRecord } from "../module.ts";
import type { Subjects } from "../nats/subjects.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { decodeEvent } from "./envelope.ts";

export interface Listener {
  /** Unique; names the durable consumer and its dead letters. */
  readonly name: string;
  /** Must not overlap: the server refuses consumers whose filters do. */
  readonly patterns: readonly string[];
  handle(event: EventRecord): unknown;
}

export interface DeliveryOptions {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly subjects: Subjects;
  readonly deadLetters: DeadLetters;
  readonly log: Logger;
  /** Handlers wait for it: events may be there before the modules can answer. */
  readonly ready: Promise<void>;
  readonly metrics: Metrics;
  /** Milliseconds between deliveries of an event that fails; there is one delivery more than pauses. */
  readonly pauses: readonly number[];
}

/** DESIGN §9: five deliveries. */
export const deliveryPauses: readonly number[] = [1_000, 5_000, 30_000, 120_000];
const maxInFlight = 512;
const acknowledgeWithin = 30_000;
const progressEvery = 10_000;
const milliseconds = 1_000_000; // in nanoseconds, JetStream's unit

interface Running {
  readonly listener: Listener;
  readonly messages: ConsumerMessages;
  readonly inFlight: Map<JsMsg, Promise<void>>;
  readonly progress: NodeJS.Timeout;
}

export class Delivery implements AsyncDisposable {
  readonly #options: DeliveryOptions;
  readonly #delivered: Counter;
  readonly #running = new Map<string, Running>();

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#delivered = options.metrics.counter(
      "reprise_deliveries_total",
      "Deliveries of events, by listener and outcome (handled, failed, dead).",
    );
  }

  /** Starts, or with other patterns replaces, the delivery to a listener. No patterns: ends it and forgets its position. */
  async listen(listener: Listener): Promise<void> {
    await this.#stop(listener.name);
    const stream = this.#options.subjects.streams.events;
    if (listener.patterns.length === 0) {
      await this.#options.manager.consumers.delete(stream, listener.name).catch(unlessMissing);
      return;
    }
    await this.#ensureConsumer(stream, listener);
    const consumer = await this.#options.client.consumers.get(stream, listener.name);
    const inFlight = new Map<JsMsg, Promise<void>>();
    const messages = await consumer.consume({
      max_messages: maxInFlight,
      callback: (message) => {
        const handled = this.#deliver(listener, message).finally(() => inFlight.delete(message));
        inFlight.set(message, handled);
      },
    });
    const progress = setInterval(() => {
      for (const message of inFlight.keys()) message.working();
    }, progressEvery).unref();
    this.#running.set(listener.name, { listener, messages, inFlight, progress });
  }

  /** Handles an event again, outside the consumer: for a dead letter. @throws what the handler throws */
  async redeliver(listenerName: string, event: EventRecord): Promise<void> {
    const running = this.#running.get(listenerName);
    if (running === undefined) {
      throw new CodedError("DEAD_LETTER_NOT_FOUND", `nothing listens as "${listenerName}" any more`, { listener: listenerName });
    }
    await running.listener.handle(event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.#stop(name)));
  }

  get #maxDeliveries(): number {
    return this.#options.pauses.length + 1;
  }

  async #stop(name: string): Promise<void> {
    const running = this.#running.get(name);
    if (running === undefined) return;
    this.#running.delete(name);
    await running.messages.close();
    await Promise.all(running.inFlight.values());
    clearInterval(running.progress);
  }

  async #ensureConsumer(stream: string, listener: Listener): Promise<void> {
    const { manager, subjects } = this.#options;
    const changeable = {
      filter_subjects: listener.patterns.map((pattern) => subjects.event(pattern)),
      ack_wait: acknowledgeWithin * milliseconds,
      max_ack_pending: maxInFlight,
      max_deliver: -1, // the server would drop silently; we count ourselves
    };
    const existing = await manager.consumers.info(stream, listener.name).catch(unlessMissing);
    if (existing === undefined) {
      await manager.consumers.add(stream, {
        ...changeable,
        durable_name: listener.name,
        ack_policy: AckPolicy.Explicit,
        deliver_policy: DeliverPolicy.New,
      });
    } else if (JSON.stringify(existing.config.filter_subjects) !== JSON.stringify(changeable.filter_subjects)) {
      await manager.consumers.update(stream, listener.name, changeable);
    }
  }

  async #deliver(listener: Listener, message: JsMsg): Promise<void> {
    const event = decodeEvent(message.headers, message.data, message.seq);
    if (event === undefined) {
      this.#options.log.error(
        { seq: message.seq, subject: message.subject },
        "the log holds a message that is no event; it is passed over",
      );
      return message.term("not an event");
    }
    try {
      await this.#options.ready;
      // More deliveries than we ever ask for: earlier ones ended with the process.
      if (message.info.deliveryCount > this.#maxDeliveries) throw new UnansweredDeliveries();
      await listener.handle(event);
      message.ack();
      this.#delivered.add({ listener: listener.name, outcome: "handled" });
    } catch (error) {
      await this.#onFailure(listener, event, message, error);
    }
  }

  async #onFailure(listener: Listener, event: EventRecord, message: JsMsg, error: unknown): Promise<void> {
    const deliveries = message.info.deliveryCount;
    const final = deliveries >= this.#maxDeliveries || (error instanceof CodedError && !error.retryable);
    const { log, deadLetters } = this.#options;
    log.warn({ error, listener: listener.name, event: event.id, type: event.type, deliveries, final }, "a listener failed");
    this.#delivered.add({ listener: listener.name, outcome: final ? "dead" : "failed" });
    if (!final) return message.nak(this.#options.pauses[deliveries - 1]);
    try {
      await deadLetters.add({
        listener: listener.name,
        reason: error instanceof Error ? error.message : String(error),
        ...(error instanceof CodedError && { code: error.code }),
        deliveries,
        failed_at: new Date().toISOString(),
        event,
      });
      message.ack();
    } catch (unstored) {
      log.error(
        { error: unstored, listener: listener.name, event: event.id },
        "a dead letter could not be stored; the event is tried again",
      );
      message.nak(this.#options.pauses.at(-1));
    }
  }
}

class UnansweredDeliveries extends Error {
  override readonly message = "every delivery ended without an answer: the daemon ended while handling it";
}

function unlessMissing(error: unknown): undefined {
  if (error instanceof JetStreamApiError && error.status === 404) return undefined;
  throw error;
}
