/**
 * Waits for events: one in-order reader of the log for all runs that wait, however many they are.
 *
 * 1. Whoever waits sees every matching event after its position once, in the order of the log; also one that was stored before
 *    the wait began.
 * 2. So a wait survives a restart by its position alone, which the run has in its journal.
 * 3. While nobody waits, nothing is read.
 */
import type { EventPage, EventQuery } from "../../daemon/events/contract.ts";
import type { EventRecord, ModuleContext, Projection } from "../../daemon/module.ts";
import { matches } from "../../daemon/names.ts";
import { retry } from "../../daemon/retry.ts";
import { unlessAborted } from "../../daemon/unless-aborted.ts";

export interface Wanted {
  /** Name patterns, any of which may match. */
  readonly types: readonly string[];
  /** Sequence in the event log: only later events count. */
  readonly after: number;
  /** A throw ends the wait. */
  where?(event: EventRecord): boolean | Promise<boolean>;
  /** Ends the wait with its reason. */
  readonly signal: AbortSignal;
}

export interface EventWatch extends AsyncDisposable {
  /** The first event that is wanted. */
  waitFor(wanted: Wanted): Promise<EventRecord>;
  /** All events that are wanted, until the signal aborts or the reader leaves the loop; a slow reader misses none. */
  follow(wanted: Wanted): AsyncGenerator<EventRecord, never, undefined>;
}

/** What `openWatch` needs of the daemon. */
type Log = Pick<ModuleContext, "project" | "position" | "signal"> & { readonly events: Pick<ModuleContext["events"], "query"> };

/** Events that may wait for one reader in memory; a slower one reads them from the log again. */
const longestQueue = 1_000;
/** Names of the latest events that are remembered, so that a wait that begins a little late need not ask the log. */
const rememberedNames = 10_000;
/** Milliseconds for which the log is still read after the last wait ended. */
const linger = 30_000;

export function openWatch(log: Log): EventWatch {
  let reader: Reader | undefined;
  let idle: NodeJS.Timeout | undefined;
  const closing = new Set<Promise<void>>();

  async function* follow(wanted: Wanted): AsyncGenerator<EventRecord, never, undefined> {
    clearTimeout(idle);
    reader ??= new Reader(log);
    const joined = reader;
    try {
      return yield* joined.follow(wanted);
    } finally {
      if (joined === reader && joined.isIdle) idle = setTimeout(close, linger).unref();
    }
  }

  function close(): void {
    if (reader === undefined || !reader.isIdle) return;
    const closed = reader[Symbol.asyncDispose]().finally(() => closing.delete(closed));
    closing.add(closed);
    reader = undefined;
  }

  return {
    follow,
    async waitFor(wanted) {
      for await (const event of follow(wanted)) return event;
      throw wanted.signal.reason;
    },
    async [Symbol.asyncDispose]() {
      clearTimeout(idle);
      await Promise.all([...closing, reader?.[Symbol.asyncDispose]()]);
    },
  };
}

interface Follower {
  readonly patterns: readonly string[];
  /** Matching events that were read since it began to follow, or since it caught up. */
  queue: EventRecord[];
  /** Sequence of the last one in the queue: an event may match several patterns. */
  last: number;
  /** The queue was too long and was dropped. */
  isBehind: boolean;
  wake(): void;
}

/** Reads the log from its present end on, and hands out each event by its name. */
class Reader implements AsyncDisposable {
  readonly #log: Log;
  /** Pattern → who follows it. */
  readonly #followers = new Map<string, Set<Follower>>();
  /** Resolves with the sequence after which it reads. */
  readonly #begun: Promise<number>;
  #projection: Projection | undefined;
  /** Everything up to here was handed out. */
  #head = 0;
  /** Of the latest events, all after `#forgotten`. */
  #names: { seq: number; type: string }[] = [];
  #forgotten = Number.POSITIVE_INFINITY;

  constructor(log: Log) {
    this.#log = log;
    this.#begun = retry(() => this.#begin(), { signal: log.signal });
    this.#begun.catch(() => {}); // whoever follows is told
  }

  get isIdle(): boolean {
    return this.#followers.size === 0;
  }

  async *follow({ types, after, where, signal }: Wanted): AsyncGenerator<EventRecord, never, undefined> {
    const follower: Follower = { patterns: [...new Set(types)], queue: [], last: 0, isBehind: true, wake: () => {} };
    const onAbort = () => follower.wake();
    signal.addEventListener("abort", onAbort);
    this.#add(follower);
    try {
      await unlessAborted(this.#begun, signal);
      for (let position = after; ; ) {
        // What is read from now on is in the queue; what was read before is in the log.
        Object.assign(follower, { queue: [], last: 0, isBehind: false });
        const head = this.#head;
        for await (const event of this.#stored(follower.patterns, position, head, signal)) {
          if ((await where?.(event)) !== false) yield event;
          position = event.seq;
        }
        position = Math.max(position, head);
        while (!follower.isBehind) {
          signal.throwIfAborted();
          const event = follower.queue.shift();
          if (event === undefined) {
            await new Promise<void>((resolve) => {
              follower.wake = resolve;
            });
            continue;
          }
          if (event.seq > after && (await where?.(event)) !== false) yield event;
          position = Math.max(position, event.seq);
        }
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#remove(follower);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#begun.catch(() => {});
    await this.#projection?.[Symbol.asyncDispose]();
  }

  async #begin(): Promise<number> {
    const position = await this.#log.position();
    this.#head = position.seq;
    this.#forgotten = position.seq;
    this.#projection = await this.#log.project({
      types: ["*"],
      after: position,
      handle: (events, { seq }) => {
        for (const event of events) this.#handOut(event);
        this.#head = seq;
      },
    });
    return position.seq;
  }

  #handOut(event: EventRecord): void {
    const { type, seq } = event;
    this.#names.push({ seq, type });
    if (this.#names.length > 2 * rememberedNames) {
      this.#names = this.#names.slice(-rememberedNames);
      this.#forgotten = (this.#names[0]?.seq ?? seq) - 1;
    }
    const [domain, action] = type.split(":") as [string, string];
    for (const pattern of [type, `${domain}:*`, `*:${action}`, "*:*", "*"]) {
      for (const follower of this.#followers.get(pattern) ?? []) {
        if (follower.isBehind || follower.last === seq) continue;
        follower.queue.push(event);
        follower.last = seq;
        if (follower.queue.length > longestQueue) Object.assign(follower, { queue: [], isBehind: true });
        follower.wake();
      }
    }
  }

  /** Matching events of the log after `position`, up to `head`. */
  async *#stored(types: readonly string[], position: number, head: number, signal: AbortSignal): AsyncGenerator<EventRecord> {
    if (!this.#mayHold(types, position, head)) return;
    let next: EventPage;
    let cursor: string | undefined = String(position);
    do {
      const query: EventQuery = { types, cursor };
      next = await retry(() => this.#log.events.query(query), { signal });
      for (const event of next.events) {
        if (event.seq > head) return;
        yield event;
      }
      cursor = next.cursor;
    } while (cursor !== undefined);
  }

  #mayHold(types: readonly string[], position: number, head: number): boolean {
    if (position >= head) return false;
    if (position < this.#forgotten) return true;
    for (let index = this.#names.length - 1; index >= 0; index--) {
      const { seq, type } = this.#names[index] as { seq: number; type: string };
      if (seq <= position) return false;
      if (types.some((pattern) => matches(pattern, type))) return true;
    }
    return false;
  }

  #add(follower: Follower): void {
    for (const pattern of follower.patterns) {
      const others = this.#followers.get(pattern);
      if (others === undefined) this.#followers.set(pattern, new Set([follower]));
      else others.add(follower);
    }
  }

  #remove(follower: Follower): void {
    for (const pattern of follower.patterns) {
      const others = this.#followers.get(pattern);
      others?.delete(follower);
      if (others?.size === 0) this.#followers.delete(pattern);
    }
  }
}
