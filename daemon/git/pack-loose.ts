/**
 * Packing loose objects where there is no git program: in a thread, into a new pack beside those that there are. Without
 * deltas, so it saves files rather than bytes.
 */
import { once } from "node:events";
import { chmod, mkdtemp, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { PackReply, PackRequest } from "./pack-worker.ts";

/** Held in memory while they are packed. */
const objectsPerPack = 5_000;

/**
 * A loose object is deleted only after the pack that has it is on the disk, with its index and its name.
 * @returns how many objects were packed
 * @throws Error if one of them is damaged; the repository is then as it was
 */
export async function packLoose(gitdir: string, signal: AbortSignal): Promise<number> {
  const oids = (await looseObjects(gitdir)).slice(0, objectsPerPack);
  if (oids.length === 0) return 0;
  const folder = await mkdtemp(join(gitdir, "reprise", "temporary", "pack-"));
  try {
    const { name, oids: packed } = await packIn({ gitdir, folder, oids }, signal);
    for (const end of ["pack", "idx"]) {
      const target = join(gitdir, "objects", "pack", `${name}.${end}`);
      await sync(join(folder, `${name}.${end}`));
      await chmod(join(folder, `${name}.${end}`), 0o444);
      await rename(join(folder, `${name}.${end}`), target);
    }
    await sync(join(gitdir, "objects", "pack"));
    for (const oid of packed) await rm(join(gitdir, "objects", oid.slice(0, 2), oid.slice(2)), { force: true });
    return packed.length;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function packIn(workerData: PackRequest, signal: AbortSignal): Promise<PackReply> {
  const worker = new Worker(new URL("./pack-worker.ts", import.meta.url), { workerData, execArgv: [] });
  try {
    const [reply] = await once(worker, "message", { signal });
    return reply as PackReply;
  } finally {
    await worker.terminate();
  }
}

async function looseObjects(gitdir: string): Promise<string[]> {
  const folders = (await readdir(join(gitdir, "objects"))).filter((name) => /^[0-9a-f]{2}$/.test(name));
  const names = await Promise.all(
    folders.map(async (folder) => (await readdir(join(gitdir, "objects", folder))).map((name) => folder + name)),
  );
  return names.flat().filter((oid) => /^[0-9a-f]{40}$/.test(oid));
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  await file.sync().finally(() => file.close());
}
