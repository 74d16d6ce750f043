/** Which files are the daemon's own, not to be opened by tools. */
import { realpath } from "node:fs/promises";
import { join, sep } from "node:path";

/**
 * Whether a path leads into the data folder or the repository's `.git`. They hold secrets, and locks that the operating system
 * drops as soon as this process closes any handle on the locked file.
 */
export async function isOwnFile(path: string, { data, repository }: { data: string; repository: string }): Promise<boolean> {
  const [file, ...folders] = await Promise.all([path, data, join(repository, ".git")].map(resolved));
  return folders.some((folder) => file === folder || file?.startsWith(folder + sep));
}

/** Without symbolic links; what does not exist is nobody's. */
const resolved = (path: string): Promise<string> => realpath(path).catch(() => "\0");
