/** A daemon with one module more: `probe`. */
import { join } from "node:path";
import { loadConfig } from "../../daemon/config.ts";
import { startDaemon } from "../../daemon/daemon.ts";
import { createLog } from "../../daemon/log.ts";
import type { Module } from "../../daemon/module.ts";
import { discoverModules } from "../../daemon/module-host.ts";
import { projectFolder } from "../../daemon/project.ts";
import probe from "./probe.ts";

const invocation = loadConfig(process.argv.slice(2), process.env, projectFolder);
if (invocation.kind !== "run") throw new Error("expected the options of a daemon");
const modules = discoverModules(join(projectFolder, "modules")).then((shipped): Module[] => [...shipped, probe]);
const daemon = await startDaemon(invocation.config, await createLog(invocation.config.logLevel), new AbortController().signal, modules);
process.stdout.write(`ready ${daemon.natsUrl} ${daemon.httpUrl}\n`);
process.once("SIGTERM", () => daemon[Symbol.asyncDispose]().then(() => process.exit(0)));
