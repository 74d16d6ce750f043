/** A module for benchmarks: counts the events `load:*` and keeps the arrival times of those that are being timed. */
import { z } from "zod";
import { commandsOf, defineModule } from "../../daemon/module.ts";

interface Arrivals extends AsyncDisposable {
  count: number;
  /** Event id → milliseconds since the epoch, with fractions. */
  readonly times: Map<string, number>;
}

const command = commandsOf<Arrivals>();

export default defineModule<Arrivals>({
  name: "probe",
  description: "Measures delivery.",
  events: {},
  commands: {
    "probe:report": command({
      description: "How many events arrived, when the timed ones did, and the memory in use.",
      input: z.strictObject({}),
      output: z.object({ count: z.number(), times: z.record(z.string(), z.number()), resident: z.number() }),
      handle: (_, { state }) => ({ count: state.count, times: Object.fromEntries(state.times), resident: process.memoryUsage.rss() }),
    }),
  },
  listens: {
    "load:timed": (event, { state }) => void state.times.set(event.id, performance.timeOrigin + performance.now()),
    "load:counted": (_, { state }) => void state.count++,
  },
  start: () => ({ count: 0, times: new Map(), [Symbol.asyncDispose]: async () => {} }),
});
