/** A real nats-server as a child of the daemon: started, kept alive on one port, and taken down with the daemon. */
import { statfs } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { endPredecessor } from "./predecessor.ts";
import { type Credentials, configurationFile, loadCredentials, type ServerFiles, writeConfiguration } from "./server-files.ts";
import { type ServerProcess, startProcess } from "./server-process.ts";

export interface EmbeddedServerOptions extends Pick<ServerFiles, "directory" | "subjects" | "modules"> {
  /** Path of nats-server. */
  readonly binary: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly log: Logger;
  /** Gives up the start; a server that runs is stopped by dispose. */
  readonly signal: AbortSignal;
  /** Bytes; default 1 MiB. */
  readonly maximumPayload?: number;
  /** Whether each write is on the disk before it is acknowledged; false for measurements only. */
  readonly synchronous?: boolean;
}

export interface EmbeddedServer extends AsyncDisposable {
  /** Without credentials: a client needs none. The port stays when the server is restarted. */
  readonly url: string;
  /** Of the server that runs, or ran last. */
  readonly pid: number;
  /** The daemon's own user, who may do everything. */
  readonly credentials: Credentials;
  readonly state: "ready" | "restarting" | "stopped";
  /** Why it takes no writes at present. */
  readonly problem: string | undefined;
  /** How often the server was started again after it died. */
  readonly restarts: number;
}

const firstPause = 50;
const longestPause = 5_000;
/** A server that lived this long, in milliseconds, is not in a loop of crashes. */
const stableAfter = 10_000;
/** Bytes that have to be free before a server that could not write is started again. */
const neededRoom = 16 * 1024 * 1024;
const roomCheck = 500;

/**
 * Starts the server and resolves when it takes clients. If it dies, or cannot write although the disk has room (again), it is
 * started again on the same port.
 * @throws Error with the server's last words if it does not start
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  const { binary, directory, log } = options;
  const files = { ...options, maximumPayload: options.maximumPayload ?? 1024 * 1024, synchronous: options.synchronous ?? true };
  const credentials = await loadCredentials(directory);
  const start = async (port: number, signal: AbortSignal): Promise<ServerProcess> => {
    await endPredecessor(directory, log, signal);
    await writeConfiguration(files, credentials, port);
    return startProcess(binary, configurationFile(directory), log, signal);
  };

  const stopping = new AbortController();
  let problem: string | undefined;
  /** After one write that failed, for want of room say, NATS refuses all others, until it is started again. */
  const endWhenStuck = async (server: ServerProcess) => {
    problem = await server.stuck;
    log.error({ problem }, "embedded NATS server cannot write; it is started again when there is room");
    while ((await freeBytes(directory)) < neededRoom) await pause(roomCheck, undefined, { signal: stopping.signal });
    await server.stop();
  };
  const watch = (server: ServerProcess) => {
    problem = undefined;
    endWhenStuck(server).catch((error: unknown) => {
      if (!stopping.signal.aborted) log.error({ error }, "embedded NATS server stays as it is: its disk cannot be looked at");
    });
  };

  let current = await start(options.port === 0 ? -1 : options.port, options.signal);
  let state: EmbeddedServer["state"] = "ready";
  let restarts = 0;
  const { port } = current;
  watch(current);
  log.info({ pid: current.pid, port, sync: files.synchronous }, "embedded NATS server ready");

  const keepAlive = async () => {
    let wait = firstPause;
    while (!stopping.signal.aborted) {
      const since = Date.now();
      const reason = await current.ended;
      if (stopping.signal.aborted) return;
      state = "restarting";
      if (Date.now() - since > stableAfter) wait = firstPause;
      log.error({ pid: current.pid, reason }, "embedded NATS server ended, starting it again");
      for (;;) {
        await pause(wait, undefined, { signal: stopping.signal });
        wait = Math.min(wait * 2, longestPause);
        try {
          current = await start(port, stopping.signal);
          break;
        } catch (error) {
          stopping.signal.throwIfAborted();
          log.error({ error }, "embedded NATS server does not start, trying again");
        }
      }
      watch(current);
      restarts += 1;
      state = "ready";
      log.warn({ pid: current.pid, port, restarts }, "embedded NATS server is back");
    }
  };
  const kept = keepAlive().catch((error) => {
    if (!stopping.signal.aborted) throw error;
  });

  return {
    url: `nats://127.0.0.1:${port}`,
    credentials,
    get pid() {
      return current.pid;
    },
    get state() {
      return state;
    },
    get problem() {
      return problem;
    },
    get restarts() {
      return restarts;
    },
    async [Symbol.asyncDispose]() {
      state = "stopped";
      stopping.abort();
      await current.stop();
      await kept;
    },
  };
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
