/** A small file system in memory, to be filled or made read-only. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface SmallDisk {
  readonly folder: string;
  /** Leaves room for this many bytes only. */
  fill(room: number): void;
  empty(): void;
  unmount(): void;
}

/** Undefined where mounting is not permitted. */
export function mountSmallDisk(t: TestContext, megabytes: number): SmallDisk | undefined {
  const folder = mkdtempSync(join(tmpdir(), "reprise-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", folder], { stdio: "pipe" });
  } catch (error) {
    t.diagnostic(String(error));
    rmdirSync(folder);
    return undefined;
  }
  const filler = join(folder, "filler");
  return {
    folder,
    fill(room) {
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(filler, Buffer.alloc(bavail * bsize - room));
    },
    empty: () => rmSync(filler),
    unmount() {
      execFileSync("umount", [folder]);
      rmdirSync(folder);
    },
  };
}
