/** Is the repository one that we can write to without making damage worse? */
import { randomUUID } from "node:crypto";
import { lstat, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "../errors.ts";
import { readHead } from "./branch.ts";
import type { ObjectReader } from "./objects.ts";

/**
 * Looks at the folder, HEAD, its branch and every object of the commit there.
 * @returns what is wrong and how to mend it, or undefined
 */
export async function findProblem(objects: ObjectReader): Promise<string | undefined> {
  return (await findLayoutProblem(objects.gitdir)) ?? (await findWriteProblem(objects.gitdir)) ?? (await findDamage(objects));
}

async function findLayoutProblem(gitdir: string): Promise<string | undefined> {
  const stats = await lstat(gitdir).catch(() => undefined);
  if (!stats?.isDirectory()) return `${gitdir} is not a folder (a linked work tree or a submodule); use an ordinary repository`;
  const config = await readFile(join(gitdir, "config"), "utf8").catch(() => "");
  if (/^\s*bare\s*=\s*true\s*$/im.test(config)) return "the repository is bare; use one with a work tree";
  if (/^\s*objectformat\s*=\s*sha256\s*$/im.test(config)) return "the repository uses SHA-256 objects; use one with SHA-1";
  return undefined;
}

async function findWriteProblem(gitdir: string): Promise<string | undefined> {
  const probe = join(gitdir, `reprise-probe-${randomUUID()}`);
  try {
    await writeFile(probe, "probe");
    await rm(probe);
    return undefined;
  } catch (error) {
    await rm(probe, { force: true }).catch(() => undefined);
    return `the folder cannot be written to: ${(error as Error).message}`;
  }
}

async function findDamage(objects: ObjectReader): Promise<string | undefined> {
  try {
    const { ref, commit } = readHead(objects.gitdir);
    if (!commit) return undefined;
    const missing = await findMissing(objects, (await objects.commit(commit)).tree);
    return missing && `${ref} needs object ${missing}, which is missing or empty; restore it from a clone (git fsck names all)`;
  } catch (error) {
    if (error instanceof CodedError) return String(error.details.reason);
    throw error;
  }
}

async function findMissing(objects: ObjectReader, tree: string): Promise<string | undefined> {
  for (const entry of await objects.tree(tree)) {
    const missing = entry.type === "tree" ? await findMissing(objects, entry.oid) : undefined;
    if (missing) return missing;
    if (entry.type === "blob" && !(await objects.isPresent(entry.oid))) return entry.oid;
  }
  return undefined;
}
