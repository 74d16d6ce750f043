/** The git program, where it is installed: for heavy reads and for packing. It never writes a ref, the index or a file. */
import { spawn } from "node:child_process";
import { setPriority } from "node:os";

let version: Promise<string | undefined> | undefined;

/** Its version; undefined if there is no git program. */
export function gitVersion(): Promise<string | undefined> {
  version ??= runGit(undefined, ["version"]).then(
    (text) => /\d+(?:\.\d+)+/.exec(text)?.[0],
    () => undefined,
  );
  return version;
}

export interface GitOptions {
  readonly signal?: AbortSignal;
  /** Leaves the processor to others. */
  readonly background?: boolean;
  /** What it reads from its standard input. */
  readonly input?: string;
}

/** Runs git on a repository and gives what it prints. @throws Error with what it prints to stderr, or because there is no git */
export async function runGit(gitdir: string | undefined, parameters: readonly string[], options: GitOptions = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of streamGit(gitdir, parameters, options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** As `runGit`, while it prints. Ending the iteration ends the program. */
export async function* streamGit(
  gitdir: string | undefined,
  parameters: readonly string[],
  { signal, background, input }: GitOptions = {},
): AsyncIterable<Buffer> {
  const place = gitdir === undefined ? [] : [`--git-dir=${gitdir}`];
  const child = spawn("git", [...place, ...parameters], {
    env: environment(),
    stdio: ["pipe", "pipe", "pipe"],
    ...(signal && { signal }),
  });
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  ended.catch(() => undefined);
  if (background && child.pid !== undefined) lowerPriority(child.pid);
  child.stdin.on("error", () => undefined); // it ended without reading all of it, and says why
  child.stdin.end(input);
  let complaint = "";
  child.stderr.on("data", (text: Buffer) => {
    complaint = `${complaint}${text}`.slice(0, 2_000);
  });
  try {
    yield* child.stdout;
    const code = await ended;
    if (code !== 0) throw new Error(`git ${parameters[0]} ended with ${code}: ${complaint.trim()}`);
  } finally {
    child.kill();
  }
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, 19);
  } catch {
    // It has ended, or the system has no priorities.
  }
}

/** Without what would point git at another repository, and without waiting for anybody. */
function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GIT_"));
  return { ...Object.fromEntries(own), GIT_OPTIONAL_LOCKS: "0", GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1", LC_ALL: "C" };
}
