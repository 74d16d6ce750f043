import assert from "node:assert/strict";
import { test } from "node:test";
import pino from "pino";
import { EventIndex } from "../../daemon/events/event-index.ts";
import type { EventLog } from "../../daemon/events/event-log.ts";
import type { EventRecord } from "../../daemon/module.ts";

const event = (seq: number): EventRecord => ({
  id: `event-${seq}`,
  type: "a:b",
  time: new Date(seq).toISOString(),
  source: "test",
  data: null,
  correlation: `event-${seq}`,
  hops: 0,
  seq,
});

test("whoever asks during a catch-up sees what was stored after that one began", async () => {
  const stored = [event(1)];
  const log: Pick<EventLog, "identity" | "bounds" | "readFrom"> = {
    identity: "test",
    bounds: async () => ({ first: 1, last: stored.length }),
    async *readFrom(seq) {
      yield* stored.filter((candidate) => candidate.seq >= seq).slice(0, 1);
    },
  };
  using index = new EventIndex({ file: ":memory:", log: log as EventLog, logger: pino({ level: "silent" }) });
  const first = index.catchUp();
  await Promise.resolve(); // it has asked for the end of the log
  stored.push(event(2));
  await index.catchUp();
  assert.equal(index.findById("event-2"), 2);
  await first;
});
