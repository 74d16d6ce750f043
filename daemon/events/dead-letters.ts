/** Dead letters: events that a listener could not handle, each with its reason, until they are redriven. Stream DEAD. */
import type { JetStreamClient, JetStreamManager, StoredMsg } from "@nats-io/jetstream";
import { CodedError } from "../errors.ts";
import type { Caller, EventRecord } from "../module.ts";
import { readStored } from "../nats/stored-messages.ts";
import type { Subjects } from "../nats/subjects.ts";
import type { Seal } from "../seal.ts";

export interface DeadLetter {
  /** Where the event should have gone: a listener's name, or `schedule` for a delayed command. */
  readonly listener: string;
  readonly reason: string;
  readonly code?: string;
  readonly deliveries: number;
  /** RFC 3339. */
  readonly failed_at: string;
  readonly event: EventRecord;
  /** For a delayed command: on whose behalf it is called. */
  readonly caller?: Caller;
}

/** What a letter says about the failure. */
export const deathOf = (error: unknown, deliveries: number): Pick<DeadLetter, "reason" | "code" | "deliveries" | "failed_at"> => ({
  reason: error instanceof Error ? error.message : String(error),
  ...(error instanceof CodedError && { code: error.code }),
  deliveries,
  failed_at: new Date().toISOString(),
});

export interface StoredDeadLetter extends DeadLetter {
  readonly id: string;
}

/** Bytes of a page: replies stay well under NATS's payload limit. */
const largestPage = 512 * 1024;

export class DeadLetters {
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #subjects: Subjects;
  readonly #seal: Seal;

  constructor(options: { client: JetStreamClient; manager: JetStreamManager; subjects: Subjects; seal: Seal }) {
    this.#client = options.client;
    this.#manager = options.manager;
    this.#subjects = options.subjects;
    this.#seal = options.seal;
  }

  /**
   * Once an event and listener, also when the daemon ends before it acknowledges the event and gives it up again. That no second
   * letter appears after a redrive is right: a letter is removed only when its event was handled.
   */
  async add(letter: DeadLetter): Promise<void> {
    const { listener, event } = letter;
    const subject = this.#subjects.dead(listener);
    // The time tells apart schedules under one id, which have no sequence. Sealed: nobody can guess it and take it first.
    const msgID = this.#seal.close(`${subject}#${event.seq}#${event.id}#${event.time}`, null);
    await this.#client.publish(subject, this.#seal.close(subject, letter), { msgID });
  }

  /** Oldest first, those after `cursor`; at most `limit`, fewer when they are large, but one if there is any. */
  async list(options: { listener?: string; limit: number; cursor?: string }): Promise<{ letters: StoredDeadLetter[]; cursor?: string }> {
    const letters: StoredDeadLetter[] = [];
    const subject = this.#subjects.dead(options.listener ?? "*");
    let seq = Number(options.cursor ?? 0) + 1;
    let bytes = 0;
    for (;;) {
      const count = options.limit - letters.length;
      const messages = await readStored(this.#manager, this.#subjects.streams.dead, { seq, subject, count, bytes: largestPage });
      if (messages.length === 0) return { letters };
      for (const stored of messages) {
        bytes += stored.data.length;
        if (letters.length > 0 && bytes > largestPage) return { letters, cursor: String(seq - 1) };
        const letter = this.#open(stored);
        if (letter !== undefined) letters.push(letter);
        seq = stored.seq + 1;
        if (letters.length === options.limit) return { letters, cursor: String(seq - 1) };
      }
    }
  }

  /** @throws CodedError DEAD_LETTER_NOT_FOUND */
  async get(id: string): Promise<StoredDeadLetter> {
    const stored = /^\d{1,15}$/.test(id) ? await this.#manager.direct.getMessage(this.#subjects.streams.dead, { seq: Number(id) }) : null;
    const letter = stored === null ? undefined : this.#open(stored);
    if (letter === undefined) throw new CodedError("DEAD_LETTER_NOT_FOUND", `no dead letter has the id ${id}`, { id });
    return letter;
  }

  #open(stored: StoredMsg): StoredDeadLetter | undefined {
    const letter = this.#seal.open<DeadLetter>(stored.subject, stored.string());
    return letter === undefined ? undefined : { id: String(stored.seq), ...letter };
  }

  async remove(id: string): Promise<void> {
    await this.#manager.streams.deleteMessage(this.#subjects.streams.dead, Number(id), false);
  }
}
