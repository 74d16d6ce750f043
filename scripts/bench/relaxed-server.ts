/** A nats-server that syncs as NATS does by default, for comparison; the daemon itself always starts one that syncs every write. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestServer } from "../../test/harness/nats-server.ts";

export interface RelaxedServer extends AsyncDisposable {
  /** With the rights of a daemon. */
  readonly url: string;
}

export async function startRelaxedServer(): Promise<RelaxedServer> {
  const directory = await mkdtemp(join(tmpdir(), "reprise-bench-nats-"));
  const server = await startTestServer(directory, { synchronous: false });
  const { user, password } = server.credentials;
  return {
    url: server.url.replace("nats://", `nats://${user}:${password}@`),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
