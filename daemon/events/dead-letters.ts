/** Dead letters: events that a listener could not handle, each with its reason, until they are redriven. Stream DEAD. */
import { JetStreamApiError, type JetStreamClient, type JetStreamManager, type StoredMsg } from "@nats-io/jetstream";
import { CodedError } from "../errors.ts";
import type { Caller, EventRecord } from "../module.ts";
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

  async add(letter: DeadLetter): Promise<void> {
    const subject = this.#subjects.dead(letter.listener);
    await this.#client.publish(subject, this.#seal.close(subject, letter));
  }

  /** Oldest first, those after `cursor`. */
  async list(options: { listener?: string; limit: number; cursor?: string }): Promise<{ letters: StoredDeadLetter[]; cursor?: string }> {
    const letters: StoredDeadLetter[] = [];
    const subject = this.#subjects.dead(options.listener ?? "*");
    let seq = Number(options.cursor ?? 0) + 1;
    while (letters.length < options.limit) {
      const stored = await this.#manager.direct.getMessage(this.#subjects.streams.dead, { seq, next_by_subj: subject }).catch(absent);
      if (stored == null) return { letters };
      const letter = this.#open(stored);
      if (letter !== undefined) letters.push(letter);
      seq = stored.seq + 1;
    }
    return { letters, cursor: String(seq - 1) };
  }

  /** @throws CodedError DEAD_LETTER_NOT_FOUND */
  async get(id: string): Promise<StoredDeadLetter> {
    const stored = /^\d{1,15}$/.test(id)
      ? await this.#manager.direct.getMessage(this.#subjects.streams.dead, { seq: Number(id) }).catch(absent)
      : undefined;
    const letter = stored == null ? undefined : this.#open(stored);
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

/** nats.js reports a missing message as null or as an error with code 404, depending on the call. */
function absent(error: unknown): undefined {
  if (error instanceof JetStreamApiError && error.status === 404) return undefined;
  throw error;
}
