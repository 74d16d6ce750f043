/** A thread that makes a pack of objects with isomorphic-git, which would keep the main thread for seconds. */
import * as fs from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import git from "isomorphic-git";

export interface PackRequest {
  readonly gitdir: string;
  /** Where the pack and its index are put. */
  readonly folder: string;
  readonly oids: string[];
}

export interface PackReply {
  /** Of the pack, without its end. */
  readonly name: string;
  /** What the index finds in it, read back. */
  readonly oids: string[];
}

const { gitdir, folder, oids } = workerData as PackRequest;
const { filename, packfile } = await git.packObjects({ fs, gitdir, oids, write: false });
await writeFile(join(folder, filename), packfile as Uint8Array);
const indexed = await git.indexPack({ fs, dir: folder, gitdir, filepath: filename });
parentPort?.postMessage({ name: filename.replace(/\.pack$/, ""), oids: indexed.oids } satisfies PackReply);
