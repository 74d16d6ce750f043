/** One run of nats-server: from spawn until it has ended. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { ConfigError } from "../config.ts";

export interface ServerProcess {
  readonly pid: number;
  readonly port: number;
  /** Resolves when the process has ended, with what it said last. */
  readonly ended: Promise<string>;
  /** Resolves, with its words, when it can write no more; it stays so until it is started again. */
  readonly stuck: Promise<string>;
  /** Ends it: SIGTERM, and SIGKILL after 3 s. */
  stop(): Promise<void>;
}

/**
 * Runs the server ("$@") and watches a pipe from the daemon (descriptor 3): when the daemon closes it or dies, however it dies,
 * the server is told to stop.
 */
const supervisor = `
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -TERM "$server"; } 2>/dev/null &
watcher=$!
wait "$server"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
`;

const logLine = /^\[(\d+)\] \S+ \S+ \[(\w{3})\] (.*)$/;
/** The server's INF is a page at each start; it is there for who looks for it. */
const levels = { FTL: "fatal", ERR: "error", WRN: "warn", INF: "debug", DBG: "debug", TRC: "trace" } as const;
const cannotWrite = /critical write error|will be DISABLED/i;
/** Expected: they stand in a file that only its owner reads. */
const plainPasswords = "Plaintext passwords detected";
const startDeadline = 30_000;
const stopDeadline = 3_000;

/**
 * Starts the server and waits until it takes clients, JetStream included.
 * @throws Error with the server's last words if it ends or is not ready within 30 s
 */
export async function startProcess(binary: string, configuration: string, log: Logger, signal: AbortSignal): Promise<ServerProcess> {
  signal.throwIfAborted();
  // In a session of its own: Ctrl-C in the terminal is for the daemon, which still needs the server while it drains.
  const child = spawn("/bin/sh", ["-c", supervisor, "nats-server", binary, "-c", configuration], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    detached: true,
  });
  const lifeline = child.stdio[3] as Writable;
  lifeline.on("error", () => {}); // the shell went first
  let pid: number | undefined;
  let port: number | undefined;
  let lastWords = "";
  const ready = Promise.withResolvers<void>();
  const stuck = Promise.withResolvers<string>();
  const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream });
  lines.on("line", (line) => {
    const [, id, kind, text = line] = logLine.exec(line) ?? [];
    const level = text.startsWith(plainPasswords) ? "debug" : (levels[kind as keyof typeof levels] ?? "warn");
    log[level]({ line: text }, "nats-server says");
    if (level !== "debug" && level !== "trace") lastWords = text;
    if (id !== undefined) pid = Number(id);
    port ??= Number(/^Listening for client connections on .*:(\d+)$/.exec(text)?.[1] ?? Number.NaN) || undefined;
    if (text === "Server is ready") ready.resolve();
    if (cannotWrite.test(text)) stuck.resolve(text);
  });
  const ended = Promise.withResolvers<string>();
  child.on("error", (error) => ended.resolve(error.message));
  child.on("close", (code) => ended.resolve(lastWords || `exit code ${code}`));

  const stop = async () => {
    lifeline.end();
    const timer = new AbortController();
    const late = pause(stopDeadline, "late", { signal: timer.signal }).catch(() => undefined);
    if ((await Promise.race([ended.promise, late])) === "late" && pid !== undefined) signalIfAlive(pid, "SIGKILL");
    timer.abort();
    await ended.promise;
  };

  const deadline = AbortSignal.any([signal, AbortSignal.timeout(startDeadline)]);
  const failed = Promise.race([
    ended.promise.then((words) => startFailure(words)),
    once(deadline, "abort").then(() => new Error("nats-server was not ready in time", { cause: deadline.reason })),
  ]);
  const failure = await Promise.race([ready.promise, failed]);
  if (failure !== undefined || pid === undefined || port === undefined) {
    await stop();
    signal.throwIfAborted();
    throw failure ?? new Error("nats-server did not tell its port");
  }
  return { pid, port, ended: ended.promise, stuck: stuck.promise, stop };
}

export function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function startFailure(words: string): Error {
  if (!words.includes("address already in use")) return new Error(`nats-server ended at its start: ${words}`);
  return new ConfigError("The NATS port is taken by another program; choose another with --nats-port, or 0 for any free one.");
}
