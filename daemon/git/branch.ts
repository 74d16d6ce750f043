/** The branch that HEAD points to: reading it, and moving it by compare-and-set under git's own lock file. */
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CodedError } from "../errors.ts";
import type { CommitInfo } from "../module.ts";
import type { DurableFiles } from "./durable-files.ts";

const lockPatience = 2_000;
const oidGrammar = /^[0-9a-f]{40}$/;

export interface Head {
  /** Full name of the branch, `refs/heads/…`. */
  readonly ref: string;
  /** Undefined before the first commit. */
  readonly commit: string | undefined;
}

/**
 * Every command reads it, to see commits by hand at once: two tiny files, synchronously, because asynchronous reads of them take
 * twenty times as long.
 * @throws CodedError REPOSITORY_UNAVAILABLE when HEAD is detached or torn, or the branch's file is
 */
export function readHead(gitdir: string): Head {
  const text = readSmall(join(gitdir, "HEAD")) ?? "";
  const ref = /^ref: (refs\/heads\/\S+)\s*$/.exec(text)?.[1];
  if (!ref) {
    const detached = oidGrammar.test(text.trim());
    throw unavailable(
      detached ? "HEAD is detached (a rebase or a checkout of a commit); check out a branch" : "HEAD is torn: it names no branch",
    );
  }
  return { ref, commit: readBranch(gitdir, ref) };
}

function readBranch(gitdir: string, ref: string): string | undefined {
  const loose = readSmall(join(gitdir, ref));
  if (loose !== undefined) {
    if (oidGrammar.test(loose.trim())) return loose.trim();
    throw unavailable(
      `${ref} is torn: its file holds no commit id; see "git reflog" for the last one, then "git update-ref ${ref} <commit>"`,
    );
  }
  const packed = readSmall(join(gitdir, "packed-refs")) ?? "";
  const line = packed.split("\n").find((candidate) => candidate.slice(41) === ref);
  return line?.slice(0, 40);
}

function readSmall(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unavailable((error as Error).message, error);
  }
}

/**
 * Moves the branch from one commit to another and fsyncs; on the disk it is always one or the other.
 * @returns false, having changed nothing, if the branch is not at `from` (undefined = must not exist)
 * @throws CodedError REPOSITORY_UNAVAILABLE when another process holds the branch's lock for too long
 */
export async function moveBranch(files: DurableFiles, gitdir: string, head: Head, to: string): Promise<boolean> {
  const lock = join(gitdir, `${head.ref}.lock`);
  if (!(await createPatiently(files, lock, `${to}\n`))) {
    throw unavailable(`${head.ref}.lock is held by another git process; remove the file if none runs`);
  }
  try {
    if (readBranch(gitdir, head.ref) !== head.commit) return false;
    renameSync(lock, join(gitdir, head.ref));
    await files.syncFolder(dirname(lock));
    return true;
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Creates a lock file; false if it is still there after the patience of 2 s. */
export async function createPatiently(files: DurableFiles, path: string, content: string): Promise<boolean> {
  for (const end = Date.now() + lockPatience; ; await delay(5 + Math.random() * 20)) {
    if (await files.create(path, content)) return true;
    if (Date.now() > end) return false;
  }
}

/** Appends to the reflog as git does, so that `git reflog` tells of our commits and a torn branch can be found again. */
export function appendReflog(gitdir: string, head: Head, info: CommitInfo): void {
  const seconds = Math.floor(Date.parse(info.author.time) / 1000);
  const from = head.commit ?? "0".repeat(40);
  const line = `${from} ${info.commit} ${info.author.name} <${info.author.email}> ${seconds} +0000\tcommit: ${info.message.split("\n", 1)[0]}\n`;
  for (const name of ["HEAD", head.ref]) {
    const path = join(gitdir, "logs", name);
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, line);
  }
}

/** Commits of the reflog of HEAD, newest first. */
export async function readReflog(gitdir: string): Promise<string[]> {
  const text = await readFile(join(gitdir, "logs", "HEAD"), "utf8").catch(() => "");
  const oids = text.split("\n").map((line) => line.slice(41, 81));
  return oids.filter((oid) => oidGrammar.test(oid)).reverse();
}

export const unavailable = (reason: string, cause?: unknown): CodedError =>
  new CodedError("REPOSITORY_UNAVAILABLE", `The repository refuses writes: ${reason}`, { reason }, { cause });
