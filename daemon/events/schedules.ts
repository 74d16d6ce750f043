/**
 * Delayed events: kept by the NATS server in a private stream, so that they survive a crash of the daemon and of NATS.
 *
 * A schedule waits under `schedule.pending.<token>`; when it is due the server moves it to `schedule.due.<token>`, from where
 * it is fired: at least once, and `fire` recognises a repetition by the id.
 */
import {
  AckPolicy,
  type ConsumerMessages,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from "@nats-io/jetstream";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";
import type { Caller } from "../module.ts";
import type { Subjects } from "../nats/subjects.ts";
import type { Seal } from "../seal.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { deliveryPauses } from "./delivery.ts";
import type { UnstoredEvent } from "./envelope.ts";

/** What is emitted when the time has come: a plain event, or a command called for `caller`. */
export interface Scheduled {
  readonly event: UnstoredEvent;
  readonly caller: Caller;
}

export interface ScheduleOptions {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly subjects: Subjects;
  readonly deadLetters: DeadLetters;
  readonly seal: Seal;
  readonly log: Logger;
  fire(scheduled: Scheduled, repeated: boolean): Promise<void>;
}

const consumerName = "due";
const wrongLastSequence = 10071;
const acknowledgeWithin = 30_000_000_000; // nanoseconds

export class Schedules implements AsyncDisposable {
  readonly #options: ScheduleOptions;
  readonly #inFlight = new Set<Promise<void>>();
  #messages: ConsumerMessages | undefined;

  constructor(options: ScheduleOptions) {
    this.#options = options;
  }

  /** Starts firing what is due. */
  async start(): Promise<void> {
    const { client, manager, subjects } = this.#options;
    const stream = subjects.streams.schedules;
    await manager.consumers.add(stream, {
      durable_name: consumerName,
      ack_policy: AckPolicy.Explicit,
      ack_wait: acknowledgeWithin,
      filter_subject: subjects.scheduleDue("*"),
    });
    const consumer = await client.consumers.get(stream, consumerName);
    this.#messages = await consumer.consume({
      callback: (message) => {
        const fired = this.#fire(message).finally(() => this.#inFlight.delete(fired));
        this.#inFlight.add(fired);
      },
    });
  }

  /** Durable when it resolves. @returns "duplicate" when a schedule with this id is pending already */
  async add(scheduled: Scheduled, at: Date): Promise<"scheduled" | "duplicate"> {
    const { client, subjects, seal } = this.#options;
    const token = tokenOf(scheduled.event.id);
    try {
      await client.publish(subjects.schedulePending(token), seal.close(subjects.scheduleDue(token), scheduled), {
        schedule: { specification: at, target: subjects.scheduleDue(token) },
        expect: { lastSubjectSequence: 0 },
      });
      return "scheduled";
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === wrongLastSequence) return "duplicate";
      throw new CodedError(
        "EVENT_OUTCOME_UNKNOWN",
        "the schedule may or may not be stored; repeat it with the same id",
        {},
        { cause: error },
      );
    }
  }

  /** @throws CodedError SCHEDULE_NOT_FOUND when it fired, was cancelled, or never was */
  async cancel(id: string): Promise<void> {
    const { manager, subjects } = this.#options;
    const { purged } = await manager.streams.purge(subjects.streams.schedules, { filter: subjects.schedulePending(tokenOf(id)) });
    if (purged === 0) throw new CodedError("SCHEDULE_NOT_FOUND", `no pending schedule has the id ${id}`, { id });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#messages?.close();
    await Promise.all(this.#inFlight);
  }

  async #fire(message: JsMsg): Promise<void> {
    const { log, deadLetters, manager, subjects, seal } = this.#options;
    const scheduled = seal.open<Scheduled>(message.subject, message.string());
    if (scheduled === undefined) {
      log.error({ seq: message.seq, subject: message.subject }, "something that is no schedule of ours is due; it is passed over");
      return message.term("not sealed by the daemon");
    }
    const deliveries = message.info.deliveryCount;
    try {
      await this.#options.fire(scheduled, deliveries > 1);
    } catch (error) {
      const final = deliveries > deliveryPauses.length || (error instanceof CodedError && !error.retryable);
      log.warn({ error, event: scheduled.event.id, type: scheduled.event.type, deliveries, final }, "a schedule could not be fired");
      if (!final) return message.nak(deliveryPauses[deliveries - 1]);
      await deadLetters.add({
        listener: scheduleListener,
        reason: error instanceof Error ? error.message : String(error),
        ...(error instanceof CodedError && { code: error.code }),
        deliveries,
        failed_at: new Date().toISOString(),
        event: { ...scheduled.event, seq: 0 },
      });
    }
    message.ack();
    await manager.streams.deleteMessage(subjects.streams.schedules, message.seq, false).catch((error: unknown) => {
      log.debug({ error }, "a fired schedule stays in its stream");
    });
  }
}

/** The name under which schedules that failed stand among the dead letters. */
export const scheduleListener = "schedule";

/** Ids may hold characters that subjects may not. */
const tokenOf = (id: string): string => Buffer.from(id).toString("base64url");
