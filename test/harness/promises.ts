/** The promises of the event log, checked in the stream itself after a load with faults. */
import assert from "node:assert/strict";
import type { DaemonProcess } from "./daemon-process.ts";
import { readStoredEvents, type StoredEvent } from "./stored-events.ts";
import { until } from "./until.ts";
import { type Acknowledged, scheduledPrefix } from "./writers.ts";

/** No acknowledged event is missing or elsewhere than its reply said, none is stored twice, every schedule fired once. */
export async function assertPromisesKept(daemon: DaemonProcess, acknowledged: readonly Acknowledged[]): Promise<void> {
  const scheduled = acknowledged.filter(({ id }) => id.startsWith(scheduledPrefix)).map(({ id }) => id);
  const stored = await until(
    async () => {
      const events = await readWritten(daemon);
      const ids = new Set(events.map(({ id }) => id));
      return scheduled.every((id) => ids.has(id)) && events;
    },
    "every schedule to fire",
    45_000, // what was being fired at a kill is fired again 30 s later
  );
  const places = new Map(stored.map(({ id, seq }) => [id, seq]));
  assert.deepEqual(repeated(stored), [], "stored twice");
  assert.deepEqual(
    acknowledged.filter(({ id }) => !places.has(id)),
    [],
    "acknowledged, and missing",
  );
  assert.deepEqual(
    acknowledged.filter(({ id, seq }) => seq !== undefined && places.get(id) !== seq),
    [],
    "acknowledged at another place than it is stored",
  );
}

const readWritten = async (daemon: DaemonProcess): Promise<StoredEvent[]> =>
  (await readStoredEvents(daemon)).filter(({ type }) => type === "load:written");

function repeated(events: readonly StoredEvent[]): string[] {
  const counts = Map.groupBy(events, ({ id }) => id);
  return [...counts].filter(([, same]) => same.length > 1).map(([id]) => id);
}
