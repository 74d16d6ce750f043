/** A nats-server that syncs as NATS does by default, for comparison; the daemon itself always starts one that syncs every write. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { startTestServer } from "../../test/harness/nats-server.ts";

export interface RelaxedServer extends AsyncDisposable {
  /** With the rights of a daemon, for `--nats-url`. */
  readonly url: string;
  /** A connection with the same rights. */
  connect(): Promise<NatsConnection>;
}

export async function startRelaxedServer(): Promise<RelaxedServer> {
  const directory = await mkdtemp(join(tmpdir(), "reprise-bench-nats-"));
  const server = await startTestServer(directory, { synchronous: false });
  const { user, password } = server.credentials;
  return {
    url: server.url.replace("nats://", `nats://${user}:${password}@`),
    connect: () => connect({ servers: server.url, user, pass: password }),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
