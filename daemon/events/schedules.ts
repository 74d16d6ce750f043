/**
 * Delayed events: kept by the NATS server in a private stream, so that they survive a crash of the daemon and of NATS.
 *
 * A schedule waits under `schedule.pending.<token>`; when it is due the server moves it to `schedule.due.<token>`, from where
 * it is fired: at least once, and `fire` recognises a repetition by the id.
 */
import { AckPolicy, JetStreamApiError, type JetStreamClient, type JetStreamManager, type JsMsg } from "@nats-io/jetstream";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";
import type { Caller } from "../module.ts";
import { wrongLastSequence } from "../nats/api-errors.ts";
import type { Subjects } from "../nats/subjects.ts";
import type { Seal } from "../seal.ts";
import { type DeadLetters, deathOf } from "./dead-letters.ts";
import type { UnstoredEvent } from "./envelope.ts";
import { acknowledgeWithin, deliveryPauses, maxInFlight, WorkQueue } from "./work-queue.ts";

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
  fire(scheduled: Scheduled, signal: AbortSignal): Promise<void>;
}

const consumer = "due";
/** The name under which schedules that failed stand among the dead letters. */
export const scheduleListener = "schedule";

export class Schedules implements AsyncDisposable {
  readonly #options: ScheduleOptions;
  readonly #queue: WorkQueue;
  readonly #stopping = new AbortController();

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      client: options.client,
      stream: options.subjects.streams.schedules,
      consumer,
      log: options.log,
      pauses: deliveryPauses,
      handle: (message) => this.#fire(message),
      giveUp: (message, error, deliveries) => this.#bury(message, error, deliveries),
    });
  }

  /** Starts firing what is due. */
  async start(): Promise<void> {
    const { manager, subjects } = this.#options;
    await manager.consumers.add(subjects.streams.schedules, {
      durable_name: consumer,
      ack_policy: AckPolicy.Explicit,
      ack_wait: acknowledgeWithin,
      max_ack_pending: maxInFlight,
      max_deliver: -1,
      filter_subject: subjects.scheduleDue("*"),
    });
    await this.#queue.start();
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

  [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new CodedError("SHUTTING_DOWN", "the daemon stops"));
    return this.#queue[Symbol.asyncDispose]();
  }

  async #fire(message: JsMsg): Promise<void> {
    const scheduled = this.#open(message);
    if (scheduled !== undefined) await this.#options.fire(scheduled, this.#stopping.signal);
    await this.#remove(message);
  }

  async #bury(message: JsMsg, error: unknown, deliveries: number): Promise<void> {
    const scheduled = this.#open(message);
    if (scheduled !== undefined) {
      const { event, caller } = scheduled;
      await this.#options.deadLetters.add({
        listener: scheduleListener,
        ...deathOf(error, deliveries),
        event: { ...event, seq: 0 },
        caller,
      });
    }
    await this.#remove(message);
  }

  #open(message: JsMsg): Scheduled | undefined {
    const scheduled = this.#options.seal.open<Scheduled>(message.subject, message.string());
    if (scheduled === undefined) {
      this.#options.log.error(
        { seq: message.seq, subject: message.subject },
        "something that is no schedule of ours is due; it is passed over",
      );
    }
    return scheduled;
  }

  /** What has fired need not stay; should this fail, it only takes room. */
  async #remove({ seq }: JsMsg): Promise<void> {
    const { manager, subjects, log } = this.#options;
    await manager.streams.deleteMessage(subjects.streams.schedules, seq, false).catch((error: unknown) => {
      log.debug({ error }, "a fired schedule stays in its stream");
    });
  }
}

/** Ids may hold characters that subjects may not. */
const tokenOf = (id: string): string => Buffer.from(id).toString("base64url");
