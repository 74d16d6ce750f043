/**
 * Delivers stored events to listeners, at least once each: a durable consumer and a work queue a listener. What a listener
 * cannot handle becomes a dead letter.
 */
import { AckPolicy, DeliverPolicy, type JetStreamClient, type JetStreamManager, type JsMsg } from "@nats-io/jetstream";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";
import type { Counter, Metrics } from "../metrics.ts";
import type { EventRecord } from "../module.ts";
import { unlessMissing } from "../nats/api-errors.ts";
import type { Subjects } from "../nats/subjects.ts";
import { type DeadLetters, deathOf } from "./dead-letters.ts";
import { decodeEvent } from "./envelope.ts";
import { acknowledgeWithin, maxInFlight, WorkQueue } from "./work-queue.ts";

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
  /** Handlers wait for it: events may be there before the modules can answer. A rejection fails what waits. */
  readonly ready: Promise<void>;
  readonly metrics: Metrics;
  /** Milliseconds between deliveries of an event that fails; there is one delivery more than pauses. */
  readonly pauses: readonly number[];
}

export class Delivery implements AsyncDisposable {
  readonly #options: DeliveryOptions;
  readonly #delivered: Counter;
  readonly #listeners = new Map<string, { listener: Listener; queue: WorkQueue }>();
  /** Queues that were replaced; what they took goes on. */
  readonly #retired: WorkQueue[] = [];

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#delivered = options.metrics.counter(
      "reprise_deliveries_total",
      "Deliveries of events, by listener and outcome (handled, failed, given up).",
    );
  }

  /**
   * Starts, or with other patterns replaces, the delivery to a listener. No patterns: ends it and forgets its position.
   * Calls for one listener must not overlap. A handler may call it: what is in flight is not waited for.
   */
  async listen(listener: Listener): Promise<void> {
    const { client, manager, subjects, log, pauses } = this.#options;
    const stream = subjects.streams.events;
    const earlier = this.#listeners.get(listener.name);
    this.#listeners.delete(listener.name);
    await earlier?.queue.stopTaking();
    if (earlier !== undefined) this.#retire(earlier.queue);
    if (listener.patterns.length === 0) {
      await manager.consumers.delete(stream, listener.name).catch(unlessMissing);
      return;
    }
    await this.#ensureConsumer(stream, listener);
    const queue = new WorkQueue({
      client,
      stream,
      consumer: listener.name,
      log,
      pauses,
      handle: (message) => this.#handle(listener, message),
      giveUp: (message, error, deliveries) => this.#bury(listener, message, error, deliveries),
      onOutcome: (outcome) => this.#delivered.add({ listener: listener.name, outcome }),
    });
    this.#listeners.set(listener.name, { listener, queue });
    await queue.start();
  }

  /** Handles an event again, outside the consumer: for a dead letter. @throws what the handler throws */
  async redeliver(listenerName: string, event: EventRecord): Promise<void> {
    const found = this.#listeners.get(listenerName);
    if (found === undefined) {
      throw new CodedError("DEAD_LETTER_NOT_FOUND", `nothing listens as "${listenerName}" any more`, { listener: listenerName });
    }
    await found.listener.handle(event);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const queues = [...[...this.#listeners.values()].map(({ queue }) => queue), ...this.#retired];
    await Promise.all(queues.map((queue) => queue[Symbol.asyncDispose]()));
  }

  #retire(queue: WorkQueue): void {
    this.#retired.push(queue);
    const forget = () => this.#retired.splice(this.#retired.indexOf(queue), 1);
    void queue[Symbol.asyncDispose]().then(forget);
  }

  async #ensureConsumer(stream: string, listener: Listener): Promise<void> {
    const { manager, subjects } = this.#options;
    const changeable = {
      filter_subjects: listener.patterns.map((pattern) => subjects.event(pattern)),
      ack_wait: acknowledgeWithin,
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

  async #handle(listener: Listener, message: JsMsg): Promise<void> {
    await this.#options.ready;
    const event = decodeEvent(message.headers, message.data, message.seq);
    if (event !== undefined) return void (await listener.handle(event));
    this.#options.log.error({ seq: message.seq, subject: message.subject }, "the log holds a message that is no event; it is passed over");
  }

  async #bury(listener: Listener, message: JsMsg, error: unknown, deliveries: number): Promise<void> {
    const event = decodeEvent(message.headers, message.data, message.seq);
    if (event !== undefined) await this.#options.deadLetters.add({ listener: listener.name, ...deathOf(error, deliveries), event });
  }
}
