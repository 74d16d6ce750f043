/** The raw limits of requests (echo.ts) in a process of their own, without the daemon. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** Starts a process that answers requests on `bench.echo` and `bench.forward`. */
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
