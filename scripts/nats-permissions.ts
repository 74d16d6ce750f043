/** `node scripts/run.mjs scripts/nats-permissions.ts [PREFIX]`: prints docs/nats-permissions.conf, for a subject prefix if one is given. */
import { join } from "node:path";
import { discoverModules } from "../daemon/module-host.ts";
import { renderTemplate } from "../daemon/nats/permissions.ts";
import { subjectsFor } from "../daemon/nats/subjects.ts";
import { projectFolder } from "../daemon/project.ts";

const modules = await discoverModules(join(projectFolder, "modules"));
process.stdout.write(renderTemplate(subjectsFor(process.argv[2] ?? ""), modules));
