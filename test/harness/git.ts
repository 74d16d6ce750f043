/** Real git in a folder, as a user would call it. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

export type Git = (...parameters: string[]) => Promise<string>;

/** Gives a function that runs git there and returns what it prints, trimmed at the end. */
export const gitIn =
  (folder: string): Git =>
  async (...parameters) => {
    const identity = ["-c", "user.name=Hand", "-c", "user.email=hand@localhost", "-c", "gc.auto=0"];
    const { stdout } = await run("git", ["-C", folder, ...identity, ...parameters], { maxBuffer: 256 * 1024 * 1024 });
    return stdout.trimEnd();
  };

/**
 * What `git fsck` has to say. An object that is packed and deleted while fsck is about to read it is no damage: fsck is asked again.
 * @throws Error if objects are missing or damaged
 */
export async function fsck(git: Git): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await git("fsck", "--strict", "--no-dangling");
    } catch (error) {
      if (attempt === 5 || !/unable to mmap .*: No such file/.test(String((error as { stderr?: unknown }).stderr))) throw error;
    }
  }
}

/** A folder that is gone when the test ends. */
export async function temporaryFolder(test: Pick<TestContext, "after">): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "reprise-test-"));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
