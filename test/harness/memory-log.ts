/** An event log in memory with the semantics of the real one: ordered, acknowledged, read by projections and listeners. */
import { setTimeout as delay } from "node:timers/promises";
import type { EmittedOwn, EventPage, EventQuery } from "../../daemon/events/contract.ts";
import type { EventRecord, Projection, ProjectionOptions } from "../../daemon/module.ts";
import { matches } from "../../daemon/names.ts";

const maximumDeliveries = 5;

/** A stored event whose listener threw on every delivery. */
export interface DeadLetter {
  readonly event: EventRecord;
  readonly error: unknown;
}

export class MemoryEventLog {
  readonly records: EventRecord[] = [];
  readonly dead: DeadLetter[] = [];
  readonly #byId = new Map<string, EventRecord>();
  readonly #wakers = new Set<() => void>();
  #isHeld = false;

  readonly identity: string;

  /** @param identity the log's identity in a LogPosition; another one stands for another server */
  constructor(identity = "memory") {
    this.identity = identity;
  }

  /** Stores an event and gives its sequence (from 1); an id that is there already is a duplicate and stores nothing. */
  append(event: Omit<EventRecord, "seq">): EmittedOwn {
    const known = this.#byId.get(event.id);
    if (known) return { id: known.id, seq: known.seq, duplicate: true };
    const seq = this.records.length + 1;
    const record = { ...event, seq };
    this.records.push(record);
    this.#byId.set(event.id, record);
    for (const wake of this.#wakers) wake();
    return { id: event.id, seq, duplicate: false };
  }

  /** Readers get nothing new until this is disposed of, as if they were slow. */
  hold(): Disposable {
    this.#isHeld = true;
    return {
      [Symbol.dispose]: () => {
        this.#isHeld = false;
        for (const wake of this.#wakers) wake();
      },
    };
  }

  /** Events of these types, in log order. */
  ofType(...patterns: string[]): EventRecord[] {
    return this.records.filter(({ type }) => patterns.some((pattern) => matches(pattern, type)));
  }

  find(id: string, pattern: string): EventRecord | undefined {
    return this.ofType(pattern).find((event) => event.id === id);
  }

  /** A page of `event:query`, by type and run. */
  query({ types = ["*"], run, cursor = "0", limit = 100 }: EventQuery): EventPage {
    const found = this.ofType(...types).filter((event) => event.seq > Number(cursor) && (run === undefined || event.run === run));
    const events = found.slice(0, limit);
    return found.length > limit ? { events, cursor: String(events.at(-1)?.seq) } : { events };
  }

  /** Reads the log in order; a throw of `handle` is retried until it succeeds. */
  project(options: ProjectionOptions): Projection {
    const start = options.after?.log === this.identity ? options.after.seq : 0;
    return this.#follow(options.types, start, async (events, isStopped) => {
      const position = { log: this.identity, seq: events.at(-1)?.seq ?? start };
      for (let attempt = 0; !isStopped(); attempt++) {
        try {
          await options.handle(events, position);
          return;
        } catch {
          await delay(Math.min(5 * 2 ** attempt, 100));
        }
      }
    });
  }

  /** Delivers each event that is stored from now on; after five throws it is a dead letter. */
  listen(patterns: readonly string[], handle: (event: EventRecord) => unknown): Projection {
    return this.#follow(patterns, this.records.length, async (events) => {
      for (const event of events) {
        for (let delivery = 1; ; delivery++) {
          try {
            await handle(event);
            break;
          } catch (error) {
            if (delivery < maximumDeliveries) continue;
            this.dead.push({ event, error });
            break;
          }
        }
      }
    });
  }

  #follow(
    patterns: readonly string[],
    start: number,
    handle: (events: EventRecord[], isStopped: () => boolean) => Promise<void>,
  ): Projection {
    const stopped = new AbortController();
    const waiting = new Set<() => void>();
    let reached = start;
    let wake = () => {};
    this.#wakers.add(() => wake());

    const run = async () => {
      while (!stopped.signal.aborted) {
        const end = this.records.length;
        if (end === reached || this.#isHeld) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        const events = this.records.slice(reached, end).filter(({ type }) => patterns.some((pattern) => matches(pattern, type)));
        if (events.length > 0) await handle(events, () => stopped.signal.aborted);
        if (stopped.signal.aborted) break;
        reached = end;
        for (const check of waiting) check();
      }
    };
    const running = run();
    const whenReached = (seq: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const check = () => {
          if (reached < seq) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        check();
      });

    return {
      caughtUp: whenReached(this.records.length),
      reached: whenReached,
      lastSequence: async () => this.records.length,
      current: (signal) => whenReached(this.records.length, signal),
      async [Symbol.asyncDispose]() {
        stopped.abort();
        wake();
        await running;
      },
    };
  }
}
