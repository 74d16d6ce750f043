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

/** A folder that is gone when the test ends. */
export async function temporaryFolder(test: Pick<TestContext, "after">): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "reprise-test-"));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
