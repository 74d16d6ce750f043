/** An in-order reader of the event log with a position of its own: batches to a handler, repeated until it succeeds. */
import type { ConsumerMessages } from "@nats-io/jetstream";
import type { Logger } from "pino";
import type { LogPosition, Projection, ProjectionOptions } from "../module.ts";
import { retry } from "../retry.ts";
import { unlessAborted } from "../unless-aborted.ts";
import { batchesOf } from "./batches.ts";
import { decodeEvent } from "./envelope.ts";

export interface ProjectionStart {
  /** Sequence after which it begins. */
  readonly position: number;
  /** Messages that wait already. */
  readonly pending: number;
  /** The newest sequence of its types in the log; 0 when there is none. */
  lastSequence(): Promise<number>;
  /** Identity of the log. */
  readonly identity: string;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

interface Waiter {
  readonly seq: number;
  resolve(): void;
}

const largestBatch = 500;

export class LogProjection implements Projection {
  readonly caughtUp: Promise<void>;
  readonly #messages: ConsumerMessages;
  readonly #finished: Promise<void>;
  readonly #stopping = new AbortController();
  readonly #caughtUp = Promise.withResolvers<void>();
  readonly #waiters = new Set<Waiter>();
  readonly #lastSequence: () => Promise<number>;
  #handled: number;

  constructor(messages: ConsumerMessages, options: ProjectionOptions, start: ProjectionStart) {
    this.#messages = messages;
    this.#handled = start.position;
    this.#lastSequence = start.lastSequence;
    this.caughtUp = this.#caughtUp.promise;
    if (start.pending === 0) this.#caughtUp.resolve();
    this.#finished = this.#run(options, start, AbortSignal.any([start.signal, this.#stopping.signal]));
  }

  reached(seq: number, signal?: AbortSignal): Promise<void> {
    if (this.#handled >= seq) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        seq,
        resolve: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  lastSequence(signal: AbortSignal): Promise<number> {
    return unlessAborted(this.#lastSequence(), signal);
  }

  async current(signal: AbortSignal): Promise<void> {
    await this.reached(await this.lastSequence(signal), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#messages.close();
    await this.#finished;
  }

  async #run(options: ProjectionOptions, { identity, log }: ProjectionStart, signal: AbortSignal): Promise<void> {
    for await (const messages of batchesOf(this.#messages, largestBatch)) {
      const last = messages.at(-1) ?? messages[0];
      const position: LogPosition = { log: identity, seq: last.seq };
      const events = messages.map(({ headers, data, seq }) => decodeEvent(headers, data, seq)).filter((event) => event !== undefined);
      try {
        await retry(async () => options.handle(events, position), {
          signal,
          onFailure: (error, attempt) =>
            log.error({ error, attempt, types: options.types, seq: position.seq }, "a projection cannot go on; it is tried again"),
        });
      } catch {
        return; // only the signal ends the tries
      }
      this.#advance(position.seq);
      if (last.info.pending === 0) this.#caughtUp.resolve();
    }
  }

  #advance(seq: number): void {
    this.#handled = seq;
    for (const waiter of this.#waiters) {
      if (waiter.seq > seq) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }
}
