/** The files that the demo learns from. */
import { type Client, CommandError } from "../client.ts";
import { UsageError } from "../usage-error.ts";

interface Found {
  readonly files: readonly { readonly path: string }[];
  /** There are more than the limit. */
  readonly more: boolean;
}

interface Listed extends Found {
  readonly skipped: number;
}

/** At most `limit` files below the directory, in the order of their paths. @throws UsageError when there is none, saying why; CommandError */
export async function findFiles(client: Client, directory: string, limit: number): Promise<Found> {
  const { files, skipped, more } = await list(client, directory, limit);
  if (files.length > 0) return { files, more };
  const reason = skipped === 0 ? "" : `; passed over: ${skipped}, larger than 1 MB, links, or not readable`;
  throw new UsageError(
    `There is no file to learn from below ${directory}${reason}. Folders named .git, node_modules and .cache do not count.`,
  );
}

async function list(client: Client, directory: string, limit: number): Promise<Listed> {
  try {
    return (await client.call<{ result: Listed }>("tool:call", { name: "list_files", arguments: { directory, limit } })).result;
  } catch (error) {
    if (!(error instanceof CommandError) || error.reply.code !== "TOOL_FAILED") throw error;
    throw new UsageError(`Nothing to learn from: ${error.reply.details.cause}.`, { cause: error });
  }
}
