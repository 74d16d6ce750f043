/**
 * Files that are whole or absent after a crash: written to a temporary file beside the repository's own, fsynced, renamed.
 * The folder of temporary files is private to the owner of the repository and emptied when it opens.
 *
 * Only what waits for the disk is asynchronous. All else takes microseconds, but a turn of the event loop each if it were: in a
 * busy process a commit would take several times as long.
 */
import { randomUUID } from "node:crypto";
import { closeSync, fsync, linkSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { makeFolder } from "../folders.ts";

const mostAttempts = 10;

export class DurableFiles {
  readonly #temporary: string;

  /** @param temporary a folder on the same file system as every file that is written */
  constructor(temporary: string) {
    this.#temporary = temporary;
  }

  /** Creates the folder of temporary files, without what an earlier owner left there. */
  async prepare(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
    await mkdir(this.#temporary, { recursive: true });
  }

  /**
   * Creates a file in one step, with its whole content.
   * @returns false if it was there already
   */
  async create(path: string, content: Uint8Array | string): Promise<boolean> {
    const temporary = await this.#stage(content);
    try {
      await this.#place(path, () => linkSync(temporary, path));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** Replaces or creates many files at once, and makes their names durable. */
  async writeAll(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await this.replaceAll(files);
    const folders = new Set([...files.keys()].flatMap((path) => [dirname(path), dirname(dirname(path))]));
    await Promise.all(
      [...folders].map((folder) =>
        // One that is gone was emptied by git, which had packed and synced what was in it.
        this.syncFolder(folder).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== "ENOENT") throw error;
        }),
      ),
    );
  }

  /** As `writeAll`, for what can be made again: after a power failure each file has its old or its new content. */
  async replaceAll(files: ReadonlyMap<string, Uint8Array>): Promise<void> {
    await Promise.all(
      [...files].map(async ([path, content]) => {
        const temporary = await this.#stage(content);
        await this.#place(path, () => renameSync(temporary, path));
      }),
    );
  }

  async #stage(content: Uint8Array | string): Promise<string> {
    const path = join(this.#temporary, randomUUID());
    const file = openSync(path, "wx");
    try {
      writeFileSync(file, content);
      await sync(file);
      return path;
    } catch (error) {
      rmSync(path, { force: true }); // on a full disk it would keep its part of the room
      throw error;
    } finally {
      closeSync(file);
    }
  }

  /** Makes the folder where it is missing; git removes folders that it emptied, also right after one was made. */
  async #place(path: string, move: () => void): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return move();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT" || attempt === mostAttempts) throw error;
        await makeFolder(dirname(path));
      }
    }
  }

  /** Makes renames in a folder durable. */
  async syncFolder(path: string): Promise<void> {
    const folder = openSync(path, "r");
    try {
      await sync(folder);
    } finally {
      closeSync(folder);
    }
  }
}

const sync = promisify(fsync);
