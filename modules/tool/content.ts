import { readFile, stat } from "node:fs/promises";
import type { ToolRun } from "./tool.ts";

const maximumBytes = 16 * 1_048_576;

/** The whole content of a regular file of at most 16 MB that is not the daemon's own. */
export async function readContent(path: string, { signal, isOwnFile }: ToolRun): Promise<Buffer> {
  if (await isOwnFile(path)) throw new Error(`${path} is a file of the daemon`);
  const stats = await stat(path);
  if (!stats.isFile()) throw new Error(`${path} is not a regular file`);
  if (stats.size > maximumBytes) throw new Error(`${path} is larger than 16 MB`);
  return readFile(path, { signal });
}
