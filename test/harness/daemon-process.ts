/** A daemon as a process of its own, as `npm start` runs it: to be killed, started again on the same data, and measured. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { loadCredentials, pidFile } from "../../daemon/nats/server-files.ts";
import { projectFolder } from "../../daemon/project.ts";

export interface DaemonProcessOptions {
  /** Default: daemon/main.ts. */
  readonly program?: string;
  /** In place of `--nats-port 0`, an embedded server on a free port. */
  readonly args?: readonly string[];
  /** Default: a temporary folder that is gone with the daemon. */
  readonly data?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it looks for `reprise.yaml`; default: this process's folder. */
  readonly cwd?: string;
}

export interface DaemonProcess extends AsyncDisposable {
  /** Of NATS; stays the same over restarts, as `httpUrl` does. */
  readonly url: string;
  readonly httpUrl: string;
  readonly data: string;
  /** The process that runs, or ran last. */
  readonly process: ChildProcess;
  /** From the start of that process to its ready line. */
  readonly readyMilliseconds: number;
  /** What all its processes said on stderr so far. */
  readonly log: string;
  /** Sends the signal and resolves when the process has ended, with its exit code or the signal that ended it. */
  kill(signal: NodeJS.Signals): Promise<number | string>;
  /** Starts it again on the same data and ports; resolves when it is ready. */
  restart(): Promise<void>;
  /** Starts it again and resolves at once: with the process, which is `process` from now on. */
  spawnAgain(): ChildProcess;
  /** Process id of its embedded NATS server. */
  serverPid(): Promise<number>;
}

/** Starts a daemon on free ports and resolves when it is ready. @throws Error with its log if it ends before */
export async function startDaemonProcess(options: DaemonProcessOptions = {}): Promise<DaemonProcess> {
  const data = options.data ?? (await mkdtemp(join(tmpdir(), "reprise-daemon-")));
  let log = "";
  let child: ChildProcess;
  let since = 0;
  let ready = { url: "", httpUrl: "", milliseconds: 0 };

  const run = (ports: readonly string[]) => {
    since = performance.now();
    child = spawnDaemon(data, ports, options);
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      log += text;
    });
    return child;
  };
  const untilReady = async (started: ChildProcess) => {
    const [line] = (await Promise.race([
      once(createInterface({ input: started.stdout as NodeJS.ReadableStream }), "line"),
      once(started, "close").then(([code, signal]) => Promise.reject(new Error(`the daemon ended with ${code ?? signal}:\n${log}`))),
    ])) as [string];
    const [, url = "", httpUrl = ""] = /^ready (\S+) (\S+)$/.exec(line) ?? [];
    ready = { url, httpUrl, milliseconds: performance.now() - since };
  };
  const samePorts = () => {
    const nats = options.args ?? ["--nats-port", new URL(ready.url).port];
    return [...nats, "--http-port", new URL(ready.httpUrl).port];
  };
  const end = async (signal: NodeJS.Signals) => {
    if (hasEnded(child)) return child.exitCode ?? String(child.signalCode);
    child.kill(signal);
    const [code, endedBy] = await once(child, "exit");
    return code ?? endedBy;
  };
  const dispose = async () => {
    await end("SIGTERM");
    if (options.data === undefined) await rm(data, { recursive: true, force: true, maxRetries: 5 });
  };

  try {
    await untilReady(run([...(options.args ?? ["--nats-port", "0"]), "--http-port", "0"]));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    get url() {
      return ready.url;
    },
    get httpUrl() {
      return ready.httpUrl;
    },
    data,
    get process() {
      return child;
    },
    get readyMilliseconds() {
      return ready.milliseconds;
    },
    get log() {
      return log;
    },
    kill: end,
    restart: () => untilReady(run(samePorts())),
    spawnAgain: () => run(samePorts()),
    serverPid: async () => Number(await readFile(pidFile(join(data, "nats")), "utf8")),
    [Symbol.asyncDispose]: dispose,
  };
}

/** The process alone, for starts that are not expected to succeed. */
export function spawnDaemon(
  data: string,
  args: readonly string[],
  {
    program = join(projectFolder, "daemon", "main.ts"),
    environment = {},
    cwd,
  }: Pick<DaemonProcessOptions, "program" | "environment" | "cwd"> = {},
): ChildProcess {
  return spawn(process.execPath, [program, "--data", data, "--log-level", "warn", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
    cwd,
  });
}

/** A connection with the daemon's own rights. */
export async function connectAsDaemon({ url, data }: Pick<DaemonProcess, "url" | "data">): Promise<NatsConnection> {
  const { user, password } = await loadCredentials(join(data, "nats"));
  return connect({ servers: url, user, pass: password });
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;
