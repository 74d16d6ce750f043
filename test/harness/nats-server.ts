/** A real nats-server for a test, found the way the daemon finds it. */
import { join } from "node:path";
import pino from "pino";
import { type EmbeddedServer, startEmbeddedServer } from "../../daemon/nats/embedded-server.ts";
import { findNatsServer } from "../../daemon/nats/find-server.ts";
import { subjectsFor } from "../../daemon/nats/subjects.ts";
import { projectFolder } from "../../daemon/project.ts";

/** @param options.synchronous false = relaxed sync, NATS's own default */
export async function startTestServer(
  directory: string,
  options: { synchronous?: boolean } = {},
): Promise<EmbeddedServer & { user: string; password: string }> {
  const log = pino({ level: "silent" });
  const { path } = await findNatsServer({ cacheDirectory: join(projectFolder, ".cache"), log });
  const server = await startEmbeddedServer({
    binary: path,
    directory,
    port: 0,
    subjects: subjectsFor(),
    modules: [],
    log,
    signal: new AbortController().signal,
    ...options,
  });
  return Object.assign(server, server.credentials);
}
