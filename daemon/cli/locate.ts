/** Where the daemon that a command line is meant for answers. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../config.ts";

export interface Place {
  /** Undefined when no daemon runs on the data folder that was named. */
  readonly url: string | undefined;
  readonly data: string;
  readonly prefix: string | undefined;
  /** Nobody named a server: where no daemon answers, one may be started. */
  readonly isDefault: boolean;
}

/**
 * In this order: `--url`; the NATS server of the configuration (REPRISE_NATS_URL, `nats-url` in reprise.yaml); the daemon that
 * runs on the configured data folder; the default port, unless REPRISE_DATA names a folder: another daemon is not meant then.
 * @throws ConfigError
 */
export function locateDaemon(url: string | undefined, env: NodeJS.ProcessEnv, cwd: string): Place {
  const invocation = loadConfig([], env, cwd);
  if (invocation.kind !== "run") throw new Error("a configuration without arguments is one to run");
  const { nats, data, prefix } = invocation.config;
  if (url !== undefined) return { url, data, prefix, isDefault: false };
  if (nats.kind === "external") return { url: nats.url, data, prefix, isDefault: false };
  const usual = env.REPRISE_DATA === undefined ? `nats://127.0.0.1:${nats.port || 4222}` : undefined;
  return { url: runningDaemon(data) ?? usual, data, prefix, isDefault: true };
}

/** The NATS address of the daemon that runs on this data folder; undefined when none does. */
function runningDaemon(data: string): string | undefined {
  try {
    const { pid, nats } = JSON.parse(readFileSync(join(data, "daemon.json"), "utf8")) as { pid: number; nats: string };
    return isRunning(pid) ? nats : undefined;
  } catch {
    return undefined; // It has not run here, or is just starting.
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // It runs, as another user.
  }
}
