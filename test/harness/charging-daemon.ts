/**
 * A daemon with one command more, which must not be done twice: `till:charge` notes its key in the file `charges` of the folder
 * `TILL`, and answers once there is a file `open`.
 */
import { access, appendFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import { loadConfig } from "../../daemon/config.ts";
import { startDaemon } from "../../daemon/daemon.ts";
import { createLog } from "../../daemon/log.ts";
import { commandsOf, defineModule, type Module } from "../../daemon/module.ts";
import { discoverModules } from "../../daemon/module-host.ts";
import { projectFolder } from "../../daemon/project.ts";

const folder = process.env.TILL ?? "";
const isOpen = () =>
  access(join(folder, "open")).then(
    () => true,
    () => false,
  );

const till = defineModule<AsyncDisposable>({
  name: "till",
  description: "Takes money.",
  events: {},
  commands: {
    "till:charge": commandsOf<AsyncDisposable>()({
      description: "Charges.",
      input: z.strictObject({}),
      output: z.object({ receipt: z.string() }),
      async handle(_, { meta, signal }) {
        await appendFile(join(folder, "charges"), `${meta.id}\n`);
        while (!(await isOpen())) await pause(10, undefined, { signal });
        return { receipt: "of the till" };
      },
    }),
  },
  start: () => ({ [Symbol.asyncDispose]: async () => {} }),
});

const invocation = loadConfig(process.argv.slice(2), process.env, projectFolder);
if (invocation.kind !== "run") throw new Error("expected the options of a daemon");
const modules = discoverModules(join(projectFolder, "modules")).then((shipped): Module[] => [...shipped, till]);
const daemon = await startDaemon(invocation.config, await createLog(invocation.config.logLevel), new AbortController().signal, modules);
process.stdout.write(`ready ${daemon.natsUrl} ${daemon.httpUrl}\n`);
process.once("SIGTERM", () => daemon[Symbol.asyncDispose]().then(() => process.exit(0)));
