/** A real daemon with its own embedded NATS server, data folder and free ports, inside the test's process. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import pino, { type Logger } from "pino";
import type { Config } from "../../daemon/config.ts";
import { type Daemon, startDaemon } from "../../daemon/daemon.ts";
import type { Module } from "../../daemon/module.ts";
import { discoverModules } from "../../daemon/module-host.ts";
import { loadCredentials } from "../../daemon/nats/server-files.ts";
import { projectFolder } from "../../daemon/project.ts";
import { type Asker, askerOn } from "./ask.ts";

/** It asks as a plain client without credentials. */
export interface TestDaemon extends AsyncDisposable, Asker {
  readonly daemon: Daemon;
  readonly config: Config;
  readonly client: NatsConnection;
  /** Address of its embedded server, with the daemon's own rights: for other daemons. */
  adminUrl(): Promise<string>;
}

export interface TestDaemonOptions {
  /** Beside the shipped ones. */
  readonly modules?: readonly Module[];
  readonly config?: Partial<Config>;
  readonly log?: Logger;
}

export async function startTestDaemon({
  modules = [],
  config: given = {},
  log = pino({ level: "silent" }),
}: TestDaemonOptions = {}): Promise<TestDaemon> {
  const folder = await mkdtemp(join(tmpdir(), "reprise-test-"));
  const resources = new AsyncDisposableStack();
  resources.defer(() => rm(folder, { recursive: true, force: true }));
  try {
    const data = given.data ?? join(folder, "data");
    const config: Config = {
      data,
      nats: { kind: "embedded", port: 0 },
      httpPort: 0,
      prefix: undefined,
      logLevel: "silent",
      compositions: join(data, "compositions"),
      sections: {},
      ...given,
    };
    const daemon = resources.use(await startDaemon(config, log, new AbortController().signal, withShipped(modules)));
    const client = await connect({ servers: daemon.natsUrl });
    resources.defer(() => client.close());
    return {
      daemon,
      config,
      client,
      ...askerOn(client, config.prefix),
      async adminUrl() {
        const { user, password } = await loadCredentials(join(config.data, "nats"));
        return daemon.natsUrl.replace("nats://", `nats://${user}:${password}@`);
      },
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

const withShipped = async (modules: readonly Module[]): Promise<Module[]> => [
  ...(await discoverModules(join(projectFolder, "modules"))),
  ...modules,
];
