/** The repository of patterns read with plain git, where it is on this machine and git is installed. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const patience = 20_000;

export interface GitLines {
  /** The commit, as `git log` shows it on one line. */
  readonly log: string;
  /** Where the decision stands, as `git blame` shows it; absent if the entry is no longer at HEAD. */
  readonly blame?: string;
}

export interface RecordedIn {
  readonly commit: string;
  readonly pattern: string;
  readonly version: string;
}

/** What a commit and the decisions file say of a decision; undefined if there is no such commit here. */
export async function gitLines(folder: string, { id, pattern, commit }: { id: string; pattern: string; commit: string }) {
  const log = await git(folder, "log", "-1", "--date=iso-strict", "--format=%h %ad %an: %s", commit);
  if (log === undefined) return undefined;
  const paths = [`orchestrations/${pattern}_decisions.yaml`, `orchestrations/${pattern}_decisions`];
  const found = await git(folder, "grep", "--line-number", "--fixed-strings", "-e", id, "HEAD", "--", ...paths);
  const [, path, line] = /^HEAD:([^:]+):(\d+):- id:/m.exec(found ?? "") ?? [];
  const blame = path && line && (await git(folder, "blame", "--date=short", "-L", `${line},${line}`, "HEAD", "--", path));
  return { log, ...(blame && { blame }) } satisfies GitLines;
}

/** The commit whose trailers name the decision: also found when the event log no longer has it. */
export async function findRecorded(folder: string, id: string): Promise<RecordedIn | undefined> {
  const found = await git(folder, "log", "-1", "--fixed-strings", `--grep=Decision-Id: ${id}`, "--format=%H%n%B");
  const lines = found?.split("\n") ?? [];
  const at = lines.indexOf(`Decision-Id: ${id}`);
  if (at < 0) return undefined;
  const trailer = lines.slice(at).find((line) => line.startsWith("Pattern: "));
  const [pattern = "", version = ""] = trailer?.slice("Pattern: ".length).split("@") ?? [];
  return { commit: lines[0] ?? "", pattern, version };
}

async function git(folder: string, ...parameters: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await run("git", ["-C", folder, ...parameters], { timeout: patience, maxBuffer: 16 * 1024 * 1024 });
    return stdout.trimEnd() || undefined;
  } catch {
    return undefined; // No git, no such folder here, or nothing found: the story is told without.
  }
}
