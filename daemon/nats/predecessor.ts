/** The embedded server that a killed daemon left behind: gone before a new one opens the same files. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import type { Logger } from "pino";
import { configurationFile, pidFile } from "./server-files.ts";
import { signalIfAlive } from "./server-process.ts";

/** Milliseconds after which a server that does not end by itself is sent the next signal. */
const patience = [["SIGTERM", 1_000] as const, ["SIGKILL", 4_000] as const];

/**
 * Waits until no server runs on the folder, and ends one that stays. A process is signalled only if its command line names the
 * folder's configuration: the id may belong to a stranger by now.
 */
export async function endPredecessor(directory: string, log: Logger, signal: AbortSignal): Promise<void> {
  const pid = Number(await readFile(pidFile(directory), "utf8").catch(() => ""));
  const isOurs = async () => pid > 0 && (await commandLine(pid)).includes(configurationFile(directory));
  const since = Date.now();
  const steps = [...patience];
  while (await isOurs()) {
    const [next] = steps;
    if (next !== undefined && Date.now() - since >= next[1]) {
      steps.shift();
      log.warn({ pid, signal: next[0] }, "ending the NATS server of a daemon that was killed");
      signalIfAlive(pid, next[0]);
    }
    await pause(20, undefined, { signal });
  }
}

/** Empty if there is no such process. */
async function commandLine(pid: number): Promise<string> {
  if (process.platform === "linux") return readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  const { stdout } = await promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)]).catch(() => ({ stdout: "" }));
  return stdout;
}
