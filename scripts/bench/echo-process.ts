/** The raw limit of a request: an echo in a process of its own, without the daemon. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** Starts a process that answers requests on `bench.echo` with their payload. */
export async function startEcho(url: string): Promise<AsyncDisposable> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "echo.ts"), url], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
