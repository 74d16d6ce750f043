/** The running daemon, or one that is started for the time of the demo. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { projectFolder } from "../../project.ts";
import { Client, ConnectionError } from "../client.ts";
import type { Place } from "../locate.ts";

export interface DemoDaemon extends AsyncDisposable {
  readonly client: Client;
  /** It was not running before. */
  readonly started: boolean;
}

/** @throws ConnectionError when a server was named and no daemon answers there, or none can be started */
export async function reachDaemon(place: Place, signal: AbortSignal): Promise<DemoDaemon> {
  try {
    const client = await reach(place);
    return { client, started: false, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() };
  } catch (error) {
    if (!place.isDefault || !(error instanceof ConnectionError)) throw error;
    return startDaemon(place, signal);
  }
}

async function reach(place: Place): Promise<Client> {
  const client = await Client.connect(place);
  try {
    await client.call("system:ping", {});
    return client;
  } catch (error) {
    await client[Symbol.asyncDispose]();
    throw error;
  }
}

async function startDaemon(place: Place, signal: AbortSignal): Promise<DemoDaemon> {
  const program = join(projectFolder, "daemon", "main.ts");
  const options = ["--nats-port", "0", "--http-port", "0", "--log-level", "warn"];
  // A process group of its own: Ctrl-C reaches us alone, and we stop it when we are done with it.
  const child = spawn(process.execPath, [program, ...options], { stdio: ["ignore", "pipe", "pipe"], detached: true });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
  };
  const said: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    said.push(line);
    said.splice(0, said.length - 5);
  });
  try {
    const ready = once(createInterface({ input: child.stdout }), "line", { signal }) as Promise<[string]>;
    const outcome = await Promise.race([ready, exited.then(() => undefined)]);
    if (outcome === undefined) throw new ConnectionError(`No daemon is running, and none could be started:\n${said.join("\n")}`);
    const url = outcome[0].split(" ")[1] ?? "";
    const client = await reach({ ...place, url });
    return {
      client,
      started: true,
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await stop();
      },
    };
  } catch (error) {
    if (child.exitCode === null) await stop();
    throw error;
  }
}
