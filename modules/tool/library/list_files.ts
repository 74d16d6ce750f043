import { lstat, readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { z } from "zod";
import { defineTool } from "../tool.ts";

const maximumBytes = 1_048_576;
const maximumFiles = 500;
const skippedFolders = new Set([".git", "node_modules", ".cache"]);

export default defineTool({
  name: "list_files",
  description:
    "Lists the regular files below a directory, sorted by path, without .git, node_modules, .cache, the daemon's own files, symbolic links and files over 1 MB. Paths begin with the directory as given.",
  parameters: z.strictObject({
    directory: z.string().min(1),
    limit: z.int().min(1).max(maximumFiles).default(maximumFiles),
  }),
  returns: z.object({
    files: z.array(z.object({ path: z.string(), size: z.int(), extension: z.string() })),
    /** Files that were passed over on the way: too large, symbolic links, special, unreadable. */
    skipped: z.int(),
    /** There are more than the limit. */
    more: z.boolean(),
  }),
  idempotent: true,
  timeout: 20,
  async run({ directory, limit }, { signal, isOwnFile }) {
    if (!(await isFolder(directory))) throw new Error(`there is no folder ${directory}`);
    const isWanted = async (folder: string) => !skippedFolders.has(basename(folder)) && !(await isOwnFile(folder));
    const files: { path: string; size: number; extension: string }[] = [];
    let skipped = 0;
    let more = false;
    for await (const path of walk(directory, { signal, isWanted, onUnreadable: () => skipped++ })) {
      const stats = await lstat(path).catch(() => undefined);
      if (!stats?.isFile() || stats.size > maximumBytes) skipped++;
      else if (files.length < limit) files.push({ path, size: stats.size, extension: extensionOf(path) });
      else {
        more = true;
        break;
      }
    }
    return { files, skipped, more };
  },
});

/** Lower case, without the dot; "none" for a name without one. */
const extensionOf = (path: string) => extname(path).slice(1).toLowerCase() || "none";

const isFolder = async (path: string) => (await stat(path).catch(() => undefined))?.isDirectory() ?? false;

interface Walk {
  readonly signal: AbortSignal;
  isWanted(folder: string): Promise<boolean>;
  onUnreadable(): void;
}

/** Everything below `folder` that is not a folder, in the order of the whole paths: a folder sorts as its name with a slash. */
async function* walk(folder: string, how: Walk): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  const sorted = entries
    .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory(), key: entry.isDirectory() ? `${entry.name}/` : entry.name }))
    .sort((left, right) => (left.key < right.key ? -1 : 1));
  for (const { name, isFolder } of sorted) {
    how.signal.throwIfAborted();
    const path = join(folder, name);
    if (!isFolder) yield path;
    else if (await how.isWanted(path)) yield* walkReadable(path, how);
  }
}

/** Only the directory asked for has to be readable. */
async function* walkReadable(folder: string, how: Walk): AsyncGenerator<string> {
  try {
    yield* walk(folder, how);
  } catch (error) {
    how.signal.throwIfAborted();
    if (!["EACCES", "EPERM", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    how.onUnreadable();
  }
}
