/** What the stream EVENTS itself holds, read with the daemon's credentials and past the daemon. */
import { jetstreamManager } from "@nats-io/jetstream";
import { connectAsDaemon, type DaemonProcess } from "./daemon-process.ts";
import { until } from "./until.ts";

export interface StoredEvent {
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly seq: number;
  readonly run: string;
  readonly data: Record<string, unknown>;
}

const batch = 500;

/** All events in the stream, in order; waits for a server that is just coming up. */
export async function readStoredEvents(daemon: Pick<DaemonProcess, "url" | "data">): Promise<StoredEvent[]> {
  const nats = await until(() => connectAsDaemon(daemon).catch(() => undefined), "the NATS server");
  try {
    const manager = await jetstreamManager(nats);
    const { state } = await manager.streams.info("EVENTS");
    const events: StoredEvent[] = [];
    for (let seq = state.first_seq; seq <= state.last_seq; seq = (events.at(-1)?.seq ?? state.last_seq) + 1) {
      for await (const { header, data, seq: at } of await manager.direct.getBatch("EVENTS", { seq, batch })) {
        events.push({
          id: header.get("ce-id"),
          type: header.get("ce-type"),
          source: header.get("ce-source"),
          run: header.get("ce-run"),
          seq: at,
          data: JSON.parse(Buffer.from(data).toString()),
        });
      }
    }
    return events;
  } finally {
    await nats.close();
  }
}
