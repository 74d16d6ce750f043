/** Runs a few lines of TypeScript in a process of their own, to be killed, raced or run as another user. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export interface Child {
  readonly process: ChildProcess;
  /** Lines of stdout so far. */
  readonly lines: string[];
  /** Text of stderr so far. */
  readonly errors: () => string;
  /** Resolves with the first line that fits, also one that came before; rejects if the process ends without. */
  line(fits: (line: string) => boolean): Promise<string>;
  /** Resolves with the exit code, or the signal, once all output is read. */
  readonly ended: Promise<number | string>;
}

/**
 * @param source the body of an ES module; `project("daemon/x.ts")` imports a file of the project
 * @param options.user uid to run as; needs root
 */
export function runChild(source: string, options: { user?: number } = {}): Child {
  const root = new URL("../../", import.meta.url).href;
  const prelude = `const project = (path) => import(new URL(path, ${JSON.stringify(root)}));\n`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", prelude + source], {
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.user !== undefined && { uid: options.user, gid: options.user }),
  });
  const lines: string[] = [];
  const watchers = new Set<() => void>();
  let errors = "";
  let hasEnded = false;
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    for (const watch of watchers) watch();
  });
  const ended = once(child, "close").then(([code, signal]) => {
    hasEnded = true;
    for (const watch of watchers) watch();
    return (code ?? signal) as number | string;
  });
  return {
    process: child,
    lines,
    errors: () => errors,
    ended,
    line: (fits) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const found = lines.find(fits);
          if (found === undefined && !hasEnded) return;
          watchers.delete(check);
          if (found === undefined) reject(new Error(`the process ended without the line: ${errors}`));
          else resolve(found);
        };
        watchers.add(check);
        check();
      }),
  };
}
