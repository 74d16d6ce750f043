/** A module for benchmarks: counts the events `load:*` and keeps the arrival times of those that are being timed. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { z } from "zod";
import { commandsOf, defineModule } from "../../daemon/module.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

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
      description: "How many events arrived, when the timed ones did, and the memory that a collection leaves in use.",
      input: z.strictObject({}),
      output: z.object({ count: z.number(), times: z.record(z.string(), z.number()), used: z.number() }),
      handle: (_, { state }) => {
        collectGarbage();
        const { heapUsed, external } = process.memoryUsage();
        return { count: state.count, times: Object.fromEntries(state.times), used: heapUsed + external };
      },
    }),
  },
  listens: {
    "load:timed": (event, { state }) => void state.times.set(event.id, performance.timeOrigin + performance.now()),
    "load:counted": (_, { state }) => void state.count++,
  },
  start: () => ({ count: 0, times: new Map(), [Symbol.asyncDispose]: async () => {} }),
});
