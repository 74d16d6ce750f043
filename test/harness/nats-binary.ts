/** The real nats-server for tests, found as the daemon finds it; a missing one fails the test. */
import { join } from "node:path";
import pino from "pino";
import { findNatsServer } from "../../daemon/nats/find-server.ts";
import { projectFolder } from "../../daemon/project.ts";

let found: Promise<string> | undefined;

/** @returns path of a nats-server that is new enough */
export function natsBinary(): Promise<string> {
  found ??= findNatsServer({ cacheDirectory: join(projectFolder, ".cache"), log: pino({ level: "silent" }) }).then(({ path }) => path);
  return found;
}
