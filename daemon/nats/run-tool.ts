/** Runs one program of the system to its end. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

export interface ToolOptions {
  readonly signal: AbortSignal;
  /** Milliseconds until it is killed. */
  readonly limit: number;
  readonly cwd?: string;
}

/**
 * @returns its standard output
 * @throws Error with the end of what it wrote to standard error; `cause` is "missing" if there is no such program
 */
export async function runTool(program: string, args: readonly string[], { signal, limit, cwd }: ToolOptions): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, [...args], {
      signal,
      timeout: limit,
      killSignal: "SIGKILL",
      maxBuffer: 16 * 1024 * 1024,
      ...(cwd !== undefined && { cwd }),
      env: { ...process.env, LC_ALL: "C" },
    });
    return stdout;
  } catch (error) {
    signal.throwIfAborted();
    const { code, killed, stderr = "" } = error as { code?: string | number; killed?: boolean; stderr?: string };
    if (code === "ENOENT") throw new Error(`${program} does not exist`, { cause: "missing" });
    const said = stderr.trim().split("\n").slice(-3).join(" ");
    throw new Error(`${program} ${killed ? `did not end within ${limit / 1000} s` : `failed (${code})`}${said && `: ${said}`}`, {
      cause: error,
    });
  }
}
