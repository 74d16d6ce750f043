/** A daemon that dies where a test says, and is started again. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { projectFolder } from "../../daemon/project.ts";
import { type Asker, askerOn } from "./ask.ts";
import { type DaemonProcess, startDaemonProcess } from "./daemon-process.ts";
import { connectForEver } from "./writers.ts";

export interface Mortal extends AsyncDisposable {
  readonly daemon: DaemonProcess;
  readonly client: NatsConnection;
  readonly ask: Asker["ask"];
  /** Asks what is not answered, since the daemon dies of it. */
  begin(command: string, body: object): void;
  /** Waits until the daemon has died at a point of mortal-daemon.ts, to which `begin` leads, and starts it again. */
  dieAt(point: string, begin: () => void): Promise<void>;
}

/** Milliseconds until a point is reached. */
const longest = 60_000;

/** @param section reprise.yaml */
export async function startMortal(section: string): Promise<Mortal> {
  const resources = new AsyncDisposableStack();
  try {
    const cwd = await mkdtemp(join(tmpdir(), "reprise-mortal-"));
    resources.defer(() => rm(cwd, { recursive: true, force: true }));
    await writeFile(join(cwd, "reprise.yaml"), section);
    const death = join(cwd, "death");
    const program = join(projectFolder, "test", "harness", "mortal-daemon.ts");
    const daemon = resources.use(await startDaemonProcess({ cwd, program, environment: { DEATH: death } }));
    const client = await connectForEver(daemon.url);
    resources.defer(() => client.close());
    return {
      daemon,
      client,
      ask: askerOn(client).ask,
      begin: (command, body) => void client.request(command, JSON.stringify(body), { timeout: longest }).catch(() => undefined),
      async dieAt(point, begin) {
        await writeFile(death, point);
        const died = once(daemon.process, "exit", { signal: AbortSignal.timeout(longest) });
        begin();
        const [, signal] = await died.catch((cause: unknown) => Promise.reject(new Error(`it never came to: ${point}`, { cause })));
        assert.equal(signal, "SIGKILL", daemon.log);
        await assert.rejects(access(death), "at that point and no other");
        await daemon.restart();
      },
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}
