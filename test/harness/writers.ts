/**
 * A load of writers that do what the README tells users: each gives its events ids, and repeats an emit of unknown outcome with
 * the same id until it is acknowledged.
 */
import { setTimeout as pause } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";

export interface Acknowledged {
  readonly id: string;
  readonly status: string;
  /** Where it is stored; absent for a schedule. */
  readonly seq?: number;
}

export interface Writers extends AsyncDisposable {
  /** Acknowledged so far, plain and scheduled ones. */
  readonly acknowledged: readonly Acknowledged[];
  /** Replies that were no acknowledgement, by code; such as EVENT_OUTCOME_UNKNOWN, or "no reply". */
  readonly setbacks: ReadonlyMap<string, number>;
  /** Lets every writer finish the event that it is at. @throws what a writer could not go on from */
  finish(): Promise<void>;
}

export interface WritersOptions {
  readonly url: string;
  readonly writers?: number;
  /** Every so many events is a delayed one; 0 = none. */
  readonly scheduledEvery?: number;
  /** Milliseconds to wait for a reply. */
  readonly timeout?: number;
}

interface Request {
  readonly event: string;
  readonly id: string;
  readonly data: unknown;
  readonly delay?: number;
}

interface Reply {
  status?: string;
  id?: string;
  seq?: number;
  error?: { code: string; retryable: boolean; message: string };
}

/** Ids of delayed events begin so. */
export const scheduledPrefix = "later-";
const longestDelay = 4; // seconds

export async function startWriters({ url, writers = 8, scheduledEvery = 0, timeout = 1_000 }: WritersOptions): Promise<Writers> {
  const client = await connectForEver(url);
  const acknowledged: Acknowledged[] = [];
  const setbacks = new Map<string, number>();
  let finishing = false;

  async function write(writer: number): Promise<void> {
    for (let count = 1; !finishing; count++) {
      const delayed = scheduledEvery > 0 && count % scheduledEvery === 0;
      const id = `${delayed ? scheduledPrefix : "now-"}${writer}-${count}`;
      const delay = delayed ? { delay: Math.random() * longestDelay } : {};
      await untilAcknowledged({ event: "load:written", id, data: { writer, count }, ...delay });
    }
  }

  async function untilAcknowledged(request: Request): Promise<void> {
    for (;;) {
      const reply = await ask(request);
      if (reply.error === undefined) return void acknowledged.push({ id: request.id, status: reply.status ?? "", seq: reply.seq });
      setbacks.set(reply.error.code, (setbacks.get(reply.error.code) ?? 0) + 1);
      if (!reply.error.retryable) throw new Error(`${request.id}: ${reply.error.code}: ${reply.error.message}`);
      await pause(20);
    }
  }

  async function ask(request: Request): Promise<Reply> {
    try {
      return (await client.request("event:emit", JSON.stringify(request), { timeout })).json<Reply>();
    } catch (error) {
      return { error: { code: "no reply", retryable: true, message: String(error) } };
    }
  }

  const working = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  working.catch(() => {}); // reported by finish
  const finish = async () => {
    finishing = true;
    await working;
  };
  return {
    acknowledged,
    setbacks,
    finish,
    async [Symbol.asyncDispose]() {
      finishing = true;
      await client.close();
    },
  };
}

/** A client that outlives its server. */
export const connectForEver = (url: string): Promise<NatsConnection> =>
  connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 50, reconnectJitter: 20 });
