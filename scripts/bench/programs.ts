/** The processes that a benchmark needs beside itself: daemons, a raw echo, a server with relaxed sync. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { loadCredentials } from "../../daemon/nats/server-files.ts";
import { projectFolder } from "../../daemon/project.ts";

export interface RunningDaemon extends AsyncDisposable {
  readonly url: string;
  readonly process: ChildProcess;
  readonly data: string;
  /** From the start of the process to its ready line. */
  readonly readyMilliseconds: number;
}

/** Starts a daemon with its own data folder (or the given one) on free ports. */
export async function startDaemonProcess(
  options: { program?: string; args?: readonly string[]; data?: string } = {},
): Promise<RunningDaemon> {
  const data = options.data ?? (await mkdtemp(join(tmpdir(), "reprise-bench-")));
  const program = options.program ?? join(projectFolder, "daemon", "main.ts");
  const start = performance.now();
  const child = spawn(
    process.execPath,
    [program, "--data", data, "--http-port", "0", "--log-level", "warn", ...(options.args ?? ["--nats-port", "0"])],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line"),
    once(child, "exit").then(([code]) => Promise.reject(new Error(`the daemon ended with ${code} before it was ready`))),
  ])) as [string];
  return {
    url: line.split(" ")[1] ?? "",
    process: child,
    data,
    readyMilliseconds: performance.now() - start,
    async [Symbol.asyncDispose]() {
      await stop(child);
      if (options.data === undefined) await rm(data, { recursive: true, force: true });
    },
  };
}

/** A connection with the daemon's own rights, for the raw side of a comparison. */
export async function connectAsDaemon({ url, data }: RunningDaemon): Promise<NatsConnection> {
  const { user, password } = await loadCredentials(join(data, "nats"));
  return connect({ servers: url, user, pass: password });
}

/** A process that answers requests on `bench.echo`, without the daemon. */
export async function startEcho(url: string): Promise<AsyncDisposable> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "echo.ts"), url], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return { [Symbol.asyncDispose]: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGTERM");
  await once(child, "exit");
}
