/** The daemon itself: is it there, and which one. */
import { z } from "zod";
import { commandsOf, defineModule } from "../daemon/module.ts";

interface Started extends AsyncDisposable {
  readonly at: Date;
}

const command = commandsOf<Started>();

export default defineModule<Started>({
  name: "system",
  description: "Asks the daemon about itself.",
  events: {},
  commands: {
    "system:ping": command({
      description: "Answers at once.",
      reads: true,
      input: z.strictObject({}),
      output: z.object({ pong: z.literal(true) }),
      handle: () => ({ pong: true as const }),
    }),
    "system:commands": command({
      description: "Lists the commands, of one domain or all, with the JSON Schema of what each takes.",
      reads: true,
      input: z.strictObject({ domain: z.string().optional() }),
      output: z.object({
        commands: z.array(z.object({ name: z.string(), description: z.string(), input: z.record(z.string(), z.unknown()) })),
      }),
      handle: ({ domain }, { context }) => ({
        commands: context.describeCommands().filter(({ name }) => domain === undefined || name.startsWith(`${domain}:`)),
      }),
    }),
    "system:info": command({
      description: "Tells process, start time, memory, and where the repository of patterns is.",
      reads: true,
      input: z.strictObject({}),
      output: z.object({ pid: z.number(), node: z.string(), started_at: z.string(), resident_bytes: z.number(), compositions: z.string() }),
      handle: (_, { state, context }) => ({
        pid: process.pid,
        node: process.version,
        started_at: state.at.toISOString(),
        resident_bytes: process.memoryUsage.rss(),
        compositions: context.repository.folder,
      }),
    }),
  },
  start: () => ({ at: new Date(), [Symbol.asyncDispose]: async () => {} }),
});
