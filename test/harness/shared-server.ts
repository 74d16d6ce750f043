/** A NATS server that several daemons share, and a client beside them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type Asker, askerOn } from "./ask.ts";
import { type DaemonProcess, startDaemonProcess } from "./daemon-process.ts";
import { startTestServer } from "./nats-server.ts";

export interface SharedServer extends Asker, AsyncDisposable {
  /** Where the daemons are started, and their data are, each in a folder of its own. */
  readonly folder: string;
  /** Of the daemons' own account. */
  readonly client: NatsConnection;
  /** Starts a daemon with its data in the folder of this name; it ends with the server. */
  startDaemon(name: string): Promise<DaemonProcess>;
  /** Is done in the end, before what was started earlier is stopped. */
  defer(cleanUp: () => unknown): void;
}

export async function startSharedServer(): Promise<SharedServer> {
  const resources = new AsyncDisposableStack();
  try {
    const folder = await mkdtemp(join(tmpdir(), "reprise-shared-"));
    resources.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
    const { url, user, password } = resources.use(await startTestServer(join(folder, "nats")));
    const client = await connect({ servers: url, user, pass: password });
    resources.defer(() => client.close());
    const args = ["--nats-url", url.replace("nats://", `nats://${user}:${password}@`)];
    return {
      ...askerOn(client),
      folder,
      client,
      startDaemon: async (name) => resources.use(await startDaemonProcess({ args, data: join(folder, name), cwd: folder })),
      defer: (cleanUp) => resources.defer(async () => void (await cleanUp())),
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}
