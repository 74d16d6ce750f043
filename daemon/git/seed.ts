/** Gives a user's repository the compositions that come with the daemon. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CodedError } from "../errors.ts";
import type { CommitInfo } from "../module.ts";
import type { GitRepository } from "./repository.ts";

/** Where the shipped files are. */
export interface ShippedFolders {
  /** Has `orchestrations/`, `components/`, … */
  readonly compositions: string;
  /** Profiles; they go to `profiles/`. */
  readonly agents: string;
}

/**
 * Adds, in one commit, the shipped files that were never added before. A file that the user has, changed or deleted is left so.
 * @returns undefined if there was nothing to add, or the repository refuses writes: then the next start adds them
 */
export async function seedRepository(repository: GitRepository, shipped: ShippedFolders): Promise<CommitInfo | undefined> {
  if (repository.problem) return undefined;
  const noteFile = join(repository.folder, ".git", "reprise", "seeded.json");
  const seeded = new Set(JSON.parse(await readFile(noteFile, "utf8").catch(() => "[]")) as string[]);
  const files: Record<string, string> = {};
  for (const [path, source] of await findShipped(shipped)) {
    if (!seeded.has(path) && !(await repository.read(path))) files[path] = await readFile(source, "utf8");
    seeded.add(path);
  }
  const info = await addFiles(repository, files);
  if (info) {
    await mkdir(dirname(noteFile), { recursive: true });
    await writeFile(noteFile, JSON.stringify([...seeded].sort()));
  }
  return info;
}

async function addFiles(repository: GitRepository, files: Record<string, string>): Promise<CommitInfo | undefined> {
  const paths = Object.keys(files);
  if (paths.length === 0) return undefined;
  const expected = Object.fromEntries(paths.map((path) => [path, null]));
  const message = `seed: add ${paths.length} shipped composition${paths.length === 1 ? "" : "s"}\n\n${paths.join("\n")}`;
  try {
    return await repository.commit({ message, files, expected });
  } catch (error) {
    // The user has a file of that name which is not committed yet: it is theirs.
    const own = error instanceof CodedError && error.code === "REPOSITORY_CONFLICT" ? String(error.details.file) : "";
    if (!(own in files)) throw error;
    return addFiles(repository, Object.fromEntries(Object.entries(files).filter(([path]) => path !== own)));
  }
}

/** Path in the repository → file. */
async function findShipped({ compositions, agents }: ShippedFolders): Promise<Map<string, string>> {
  const sources: [string, string][] = [
    ["profiles", agents],
    ...["orchestrations", "components"].map((name): [string, string] => [name, join(compositions, name)]),
  ];
  const found = new Map<string, string>();
  for (const [folder, source] of sources) {
    const names = await readdir(source).catch(() => []);
    for (const name of names.filter((candidate) => candidate.endsWith(".yaml")).sort())
      found.set(`${folder}/${basename(name)}`, join(source, name));
  }
  return found;
}
