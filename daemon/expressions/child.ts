/** One evaluator process: starts it, exchanges one line at a time with it, kills it when an answer is late. */
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export type Exchange =
  | { readonly kind: "answered"; readonly line: string }
  | { readonly kind: "late" }
  | { readonly kind: "died"; readonly signal: NodeJS.Signals | null };

export interface Evaluator {
  readonly pid: number | undefined;
  /** False from the moment it is killed or dies. */
  readonly alive: boolean;
  /** Resolves once it takes requests; false if it could not be started. */
  readonly ready: Promise<boolean>;
  /** Sends a line and waits for the answer; never two at a time. After "late" and "died" the process is gone. */
  exchange(line: string, milliseconds: number): Promise<Exchange>;
  kill(): void;
}

const entry = fileURLToPath(new URL("./evaluator.mjs", import.meta.url));
const library = import.meta.resolve("jsonata");
const startMilliseconds = 10_000;
const heapMegabytes = 64;
/** An orphan in the midst of a bomb cannot see that its parent died; the system ends it. */
const processorSeconds = 300;

const nodeArguments = [
  `--max-old-space-size=${heapMegabytes}`,
  "--max-semi-space-size=1",
  "--disable-proto=delete",
  "--permission",
  `--allow-fs-read=${entry}`,
  `--allow-fs-read=${dirname(fileURLToPath(library))}/*`,
  entry,
  library,
];

export function startEvaluator(): Evaluator {
  // An empty environment: nothing of the daemon's is there to be read, and no NODE_OPTIONS reach it.
  const limited = `ulimit -t ${processorSeconds}; exec "$0" "$@"`;
  const child = spawn("/bin/sh", ["-c", limited, process.execPath, ...nodeArguments], { stdio: ["pipe", "pipe", "ignore"], env: {} });

  let alive = true;
  let received = "";
  let settle: ((exchange: Exchange) => void) | undefined;
  const finish = (exchange: Exchange) => {
    const waiting = settle;
    settle = undefined;
    waiting?.(exchange);
  };
  const ended = (signal: NodeJS.Signals | null) => {
    alive = false;
    finish({ kind: "died", signal });
  };

  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (text: string) => {
    received += text;
    if (!received.endsWith("\n")) return;
    const line = received;
    received = "";
    finish({ kind: "answered", line });
  });
  child.on("exit", (_code, signal) => ended(signal));
  child.on("error", () => ended(null));
  child.stdin.on("error", () => {}); // A dead child is seen by its exit.

  const kill = () => {
    alive = false;
    child.kill("SIGKILL");
  };
  const receive = (milliseconds: number) =>
    new Promise<Exchange>((resolve) => {
      if (!alive) return resolve({ kind: "died", signal: null });
      const timer = setTimeout(() => {
        kill();
        finish({ kind: "late" });
      }, milliseconds);
      settle = (exchange) => {
        clearTimeout(timer);
        resolve(exchange);
      };
    });

  return {
    pid: child.pid,
    get alive() {
      return alive;
    },
    ready: receive(startMilliseconds).then(({ kind }) => kind === "answered"),
    exchange(line, milliseconds) {
      const reply = receive(milliseconds);
      if (alive) child.stdin.write(line);
      return reply;
    },
    kill,
  };
}
