/**
 * Packing loose objects while the repository is written to: with the git program, or without where there is none.
 *
 * 1. Packing only adds a pack; our writer and git's may go on meanwhile. Nothing unreachable is thrown away.
 * 2. What is packed is deleted elsewhere only after the pack, its index and their folder are fsynced.
 * 3. Readers that knew a file which is gone look again.
 */
import { open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { packLoose } from "./pack-loose.ts";
import { gitVersion, runGit } from "./program.ts";

/** From how many loose objects on they are packed, and from how many packs on these become one. */
const defaults = { loose: 2_000, packs: 10 };
/** What a packing that was killed left behind; younger files may be of one under way. */
const abandonedAfter = 3_600_000;
/** Objects are spread evenly over 256 folders, so a few tell of all. */
const sampledFolders = ["00", "55", "aa", "ff"];

export interface Maintenance {
  readonly looseObjects: number;
  readonly packs: number;
}

/**
 * Packs if there is enough to pack.
 * @returns what was found, undefined if there was too little
 * @throws Error if it fails; the repository is then as whole as before
 */
export async function maintain(gitdir: string, signal: AbortSignal, most = defaults): Promise<Maintenance | undefined> {
  const looseObjects = await estimateLoose(gitdir);
  if (looseObjects < most.loose) return undefined;
  if (await gitVersion()) await packWithGit(gitdir, signal, most.packs);
  else await packLoose(gitdir, signal);
  return { looseObjects, packs: (await packsIn(gitdir)).length };
}

async function packWithGit(gitdir: string, signal: AbortSignal, mostPacks: number): Promise<void> {
  await removeAbandoned(gitdir);
  const before = await packsIn(gitdir);
  const all = before.length >= mostPacks;
  const options = { signal, background: true };
  const limits = ["-c", "pack.threads=1", "-c", "pack.windowMemory=64m", "-c", "repack.writeBitmaps=false"];
  await runGit(gitdir, [...limits, "repack", "-l", "-q", "-n", ...(all ? ["-a", "-k"] : [])], options);
  const after = await packsIn(gitdir);
  await syncPacks(
    gitdir,
    after.filter((name) => !before.includes(name)),
  );
  await runGit(gitdir, ["prune-packed", "-q"], options);
  // With one pack of everything, reachable or not, the earlier ones are superfluous; one that the user marked is kept.
  const kept = new Set((await readdir(join(gitdir, "objects", "pack"))).filter((name) => name.endsWith(".keep")).map(stem));
  const isReplaced = all && after.some((name) => !before.includes(name));
  for (const name of isReplaced ? before : []) if (!kept.has(name)) await removePack(gitdir, name);
}

async function estimateLoose(gitdir: string): Promise<number> {
  const counts = await Promise.all(
    sampledFolders.map(async (folder) => (await readdir(join(gitdir, "objects", folder)).catch(() => [])).length),
  );
  return (counts.reduce((sum, count) => sum + count, 0) * 256) / sampledFolders.length;
}

async function removeAbandoned(gitdir: string): Promise<void> {
  const folder = join(gitdir, "objects", "pack");
  for (const name of (await readdir(folder)).filter((each) => /^\.?tmp[-_]/.test(each))) {
    const stats = await stat(join(folder, name)).catch(() => undefined);
    if (stats && Date.now() - stats.mtimeMs > abandonedAfter) await rm(join(folder, name), { force: true });
  }
}

const stem = (name: string): string => name.replace(/\.\w+$/, "");

/** Without the ends of their names. */
async function packsIn(gitdir: string): Promise<string[]> {
  const names = await readdir(join(gitdir, "objects", "pack")).catch(() => []);
  return names.filter((name) => name.endsWith(".idx")).map(stem);
}

async function syncPacks(gitdir: string, names: readonly string[]): Promise<void> {
  const folder = join(gitdir, "objects", "pack");
  for (const path of [...names.flatMap((name) => [join(folder, `${name}.pack`), join(folder, `${name}.idx`)]), folder]) {
    const file = await open(path, "r");
    await file.sync().finally(() => file.close());
  }
}

/** The index first: without it the pack is not looked at any more. */
async function removePack(gitdir: string, name: string): Promise<void> {
  for (const end of ["idx", "rev", "bitmap", "mtimes", "pack"])
    await rm(join(gitdir, "objects", "pack", `${name}.${end}`), { force: true });
}
