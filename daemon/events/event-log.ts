/**
 * The event log: the stream EVENTS. Appending, reading by sequence, and following it in order.
 *
 * 1. `append` resolves only when the stream acknowledged the event (the durability point).
 * 2. Whoever asks for the end of the log asks for what this process is storing, too: live subscribers hear of an event before the
 *    stream has it, and what they ask for in answer must know of it.
 * 3. An id given by a client is stored once: by the server's memory of recent ids, under a name that outsiders cannot guess.
 *    A repetition that this process knows of is not even published, so that live subscribers do not see it twice.
 */
import { createHmac } from "node:crypto";
import { DeliverPolicy, type JetStreamClient, type JetStreamManager, type OrderedConsumerOptions } from "@nats-io/jetstream";
import type { MsgHdrs } from "@nats-io/transport-node";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";
import type { EventRecord, Projection, ProjectionOptions } from "../module.ts";
import { readStored } from "../nats/stored-messages.ts";
import type { Subjects } from "../nats/subjects.ts";
import { shared } from "../shared.ts";
import { decodeAttributes, decodeEvent, type EventAttributes, encodeEvent, type UnstoredEvent } from "./envelope.ts";
import { LogProjection } from "./projection.ts";
import type { Acknowledgement, OutgoingMessage, Publisher } from "./publisher.ts";

export interface EventLogOptions {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly publisher: Publisher;
  readonly subjects: Subjects;
  readonly identity: string;
  /** Makes the ids under which the server deduplicates unguessable. */
  readonly secret: string;
  /** Bytes a stored event may have, headers included. */
  readonly largestEvent: number;
  readonly log: Logger;
}

/** An event to store; `deduplicate` when its id came from a client and a repetition must be recognised. */
export interface Append {
  readonly event: UnstoredEvent;
  readonly deduplicate: boolean;
}

/** How many of the largest events a projection may have waiting; of smaller ones the library asks for a hundred at a time. */
const prefetched = 8;
/**
 * Milliseconds after which a projection asks for events again. As long the library waits when a server that was started again has not
 * found its streams yet; whoever waits for a projection waits with it.
 */
const longestRequest = 3_000;
/** What a range is read in: whatever else the server has to say waits behind it. */
const page = { count: 1_000, bytes: 1024 * 1024 };
/** Events that are fetched at once by their sequences: each may have 1 MB. */
const readTogether = 8;
/** Ids from clients that this process remembers itself; the server and the event index know the others. */
const rememberedIds = 100_000;

export class EventLog {
  readonly identity: string;
  readonly #options: EventLogOptions;
  /** Id → its acknowledgement, under way or arrived; oldest first. */
  readonly #recent = new Map<string, Promise<Acknowledgement>>();
  /** On their way to the stream. */
  readonly #storing = new Set<Promise<unknown>>();

  constructor(options: EventLogOptions) {
    this.identity = options.identity;
    this.#options = options;
  }

  /** @throws CodedError EVENT_TOO_LARGE, EVENT_OUTCOME_UNKNOWN, EVENT_LOG_UNAVAILABLE */
  async append(append: Append): Promise<Acknowledgement> {
    if (!append.deduplicate) return this.#publish(append);
    const { id } = append.event;
    const earlier = this.#recent.get(id);
    if (earlier !== undefined) {
      const known = await earlier.catch(() => undefined);
      return known === undefined ? this.append(append) : { seq: known.seq, duplicate: true }; // a failed attempt says nothing
    }
    const acknowledged = this.#publish(append);
    this.#remember(id, acknowledged);
    return acknowledged;
  }

  /** All or none, in consecutive sequences. */
  async appendAll(appends: readonly Append[]): Promise<Acknowledgement[] | "contains a duplicate"> {
    const stored = await this.#untilStored(this.#options.publisher.publishAtomically(appends.map((append) => this.#outgoing(append))));
    if (stored === "contains a duplicate") return stored;
    for (const [index, { event, deduplicate }] of appends.entries()) {
      const acknowledgement = stored[index];
      if (deduplicate && acknowledgement !== undefined) this.#remember(event.id, Promise.resolve(acknowledgement));
    }
    return stored;
  }

  /** @throws CodedError EVENT_TOO_LARGE */
  assertStorable(event: UnstoredEvent): void {
    this.#outgoing({ event, deduplicate: true });
  }

  async read(seq: number): Promise<EventRecord | undefined> {
    const { manager, subjects } = this.#options;
    const stored = await manager.direct.getMessage(subjects.streams.events, { seq });
    return stored === null ? undefined : decodeEvent(stored.header, stored.data, stored.seq);
  }

  /** The events at these sequences, in this order, without those that are gone; a few are held at a time. */
  async *readEach(sequences: readonly number[]): AsyncGenerator<EventRecord> {
    for (let start = 0; start < sequences.length; start += readTogether) {
      const events = await Promise.all(sequences.slice(start, start + readTogether).map((seq) => this.read(seq)));
      for (const event of events) if (event !== undefined) yield event;
    }
  }

  /** All events from `first` to `last`, in order, without their payloads; a page of a MB is held at a time. */
  async *readRange(first: number, last: number): AsyncGenerator<EventAttributes> {
    const { manager, subjects } = this.#options;
    for (let seq = first; seq <= last; ) {
      const messages = await readStored(manager, subjects.streams.events, { seq, ...page });
      for (const stored of messages) {
        if (stored.seq > last) return;
        const event = decodeAttributes(stored.header, stored.seq);
        if (event !== undefined) yield event;
      }
      seq = (messages.at(-1)?.seq ?? last) + 1;
    }
  }

  /** The newest sequence in the log; 0 when nothing was ever stored. */
  async lastSequence(): Promise<number> {
    const { manager, subjects } = this.#options;
    await this.#allStored();
    const { state } = await manager.streams.info(subjects.streams.events).catch(unavailable);
    return state.last_seq;
  }

  /** Starts an in-order reader; see ProjectionOptions. */
  async project(options: ProjectionOptions, signal: AbortSignal): Promise<Projection> {
    const { client, subjects, largestEvent } = this.#options;
    const after = options.after?.log === this.identity ? options.after.seq : 0;
    const wanted = options.types.map((type) => subjects.event(type));
    const consumer = await client.consumers.get(subjects.streams.events, {
      filter_subjects: wanted,
      ...(after > 0 ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: after + 1 } : { deliver_policy: DeliverPolicy.All }),
    } as OrderedConsumerOptions);
    const { num_pending: pending } = await consumer.info();
    const ahead = options.prefetch === undefined ? { max_bytes: prefetched * largestEvent } : { max_messages: options.prefetch };
    const messages = await consumer.consume({ ...ahead, expires: longestRequest });
    return new LogProjection(messages, options, {
      position: after,
      pending,
      identity: this.identity,
      signal,
      log: this.#options.log,
      lastSequence: shared(() => this.#lastOn(wanted)),
    });
  }

  /** The newest sequence on any of these subjects, which may have wildcards; 0 when there is none. */
  async #lastOn(wanted: readonly string[]): Promise<number> {
    const { manager, subjects } = this.#options;
    await this.#allStored();
    const lastOn = (last_by_subj: string) => manager.streams.getMessage(subjects.streams.events, { last_by_subj });
    const last = await Promise.all(wanted.map(lastOn)).catch(unavailable);
    return Math.max(0, ...last.map((message) => message?.seq ?? 0));
  }

  #publish(append: Append): Promise<Acknowledgement> {
    return this.#untilStored(this.#options.publisher.publish(this.#outgoing(append)));
  }

  #untilStored<Result>(published: Promise<Result>): Promise<Result> {
    const over = () => this.#storing.delete(published);
    this.#storing.add(published);
    published.then(over, over);
    return published;
  }

  /** Resolves once what is on its way now was stored, or was not. */
  async #allStored(): Promise<void> {
    await Promise.allSettled(this.#storing);
  }

  #outgoing({ event, deduplicate }: Append): OutgoingMessage {
    const headers = encodeEvent(event);
    if (deduplicate) headers.append("Nats-Msg-Id", this.#privateId(event.id));
    const payload = Buffer.from(JSON.stringify(event.data ?? null));
    const size = payload.length + headersSize(headers);
    if (size > this.#options.largestEvent) {
      throw new CodedError("EVENT_TOO_LARGE", `the event has ${size} bytes; the limit is ${this.#options.largestEvent}`, {
        bytes: size,
        limit: this.#options.largestEvent,
      });
    }
    return { subject: this.#options.subjects.event(event.type), headers, payload };
  }

  #remember(id: string, acknowledged: Promise<Acknowledgement>): void {
    this.#recent.set(id, acknowledged);
    acknowledged.catch(() => this.#recent.delete(id));
    if (this.#recent.size > rememberedIds) this.#recent.delete(this.#recent.keys().next().value as string);
  }

  #privateId(id: string): string {
    return createHmac("sha256", this.#options.secret).update(id).digest("base64url");
  }
}

function unavailable(cause: Error): never {
  throw new CodedError("EVENT_LOG_UNAVAILABLE", `the event log does not answer: ${cause.message}`, {}, { cause });
}

/** An upper bound is enough: all our header values are ASCII. */
function headersSize(headers: MsgHdrs): number {
  let size = 16;
  for (const [key, [value = ""]] of headers) size += key.length + value.length + 4;
  return size;
}
