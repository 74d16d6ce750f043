/** Reads the event log by what the index knows: filtered pages, and the causal tree of an event. */
import { CodedError } from "../errors.ts";
import type { EventRecord } from "../module.ts";
import type { EventPage, EventQuery, EventTree } from "./contract.ts";
import type { EventIndex } from "./event-index.ts";
import type { EventLog } from "./event-log.ts";
import { traceOf } from "./trace.ts";

/** Bytes of a reply: well under NATS's payload limit. */
const largestPage = 512 * 1024;

export class EventReader {
  readonly #log: EventLog;
  readonly #index: EventIndex;

  constructor({ log, index }: { log: EventLog; index: EventIndex }) {
    this.#log = log;
    this.#index = index;
  }

  async query(query: EventQuery): Promise<EventPage> {
    const { limit = 100, cursor, since, until, ...filter } = query;
    const sequences = await this.#index.query({
      ...filter,
      ...(since !== undefined && { since: Date.parse(since) }),
      ...(until !== undefined && { until: Date.parse(until) }),
      after: Number(cursor ?? 0),
      limit: limit + 1,
    });
    const page = sequences.slice(0, limit);
    const events: EventRecord[] = [];
    let bytes = 0;
    for await (const event of this.#log.readEach(page)) {
      bytes += JSON.stringify(event).length;
      if (bytes > largestPage && events.length > 0) return { events, cursor: String(events.at(-1)?.seq) };
      events.push(event);
    }
    return sequences.length > limit ? { events, cursor: String(page.at(-1)) } : { events };
  }

  async find(id: string, pattern: string): Promise<EventRecord | undefined> {
    await this.#index.catchUp();
    return this.#indexed(id, pattern);
  }

  /** @throws CodedError EVENT_NOT_FOUND */
  async trace(id: string): Promise<EventTree> {
    await this.#index.catchUp();
    const tree = await traceOf(id, {
      findById: (wanted) => this.#indexed(wanted),
      causedBy: async (causation, limit) => {
        const caused: EventRecord[] = [];
        // The tree shows no payloads, which may be large.
        for await (const event of this.#log.readEach(await this.#index.query({ causation, limit })))
          caused.push({ ...event, data: undefined });
        return caused;
      },
    });
    if (tree === undefined) throw new CodedError("EVENT_NOT_FOUND", `no event has the id ${id}`, { id });
    return tree;
  }

  async #indexed(id: string, pattern?: string): Promise<EventRecord | undefined> {
    const seq = this.#index.findById(id, pattern);
    return seq === undefined ? undefined : await this.#log.read(seq);
  }
}
