/** Walking commits from a tip, newest first, optionally only those that changed one path. */
import type { CommitObject } from "isomorphic-git";
import type { CommitInfo } from "../module.ts";
import type { ObjectReader } from "./objects.ts";

interface Visit {
  readonly oid: string;
  readonly commit: CommitObject;
}

/** Reads a commit per commit visited and, with `path`, at most two trees; stops with its reader. */
export async function* walkHistory(
  objects: ObjectReader,
  tip: string | undefined,
  { path, limit = Number.POSITIVE_INFINITY }: { path?: string; limit?: number } = {},
): AsyncIterable<CommitInfo> {
  const open: Visit[] = tip ? [{ oid: tip, commit: await objects.commit(tip) }] : [];
  const seen = new Set(open.map(({ oid }) => oid));
  for (let found = 0; open.length > 0 && found < limit; ) {
    const { oid, commit } = open.shift() as Visit;
    const parents = await Promise.all(commit.parent.map(async (parent) => ({ oid: parent, commit: await objects.commit(parent) })));
    if (path === undefined || (await changes(objects, path, commit, parents))) {
      found++;
      yield describeCommit(oid, commit);
    }
    for (const parent of parents) {
      if (seen.has(parent.oid)) continue;
      seen.add(parent.oid);
      const later = open.findIndex((visit) => visit.commit.committer.timestamp < parent.commit.committer.timestamp);
      open.splice(later < 0 ? open.length : later, 0, parent);
    }
  }
}

export function describeCommit(oid: string, commit: CommitObject): CommitInfo {
  const { name, email, timestamp } = commit.author;
  return { commit: oid, message: commit.message, author: { name, email, time: new Date(timestamp * 1000).toISOString() } };
}

/** A commit changed the path if its blob differs from that of every parent: a merge that only takes one side over did not. */
async function changes(objects: ObjectReader, path: string, commit: CommitObject, parents: readonly Visit[]): Promise<boolean> {
  if (parents.some((parent) => parent.commit.tree === commit.tree)) return false;
  const blob = (await objects.entry(commit.tree, path))?.oid;
  if (parents.length === 0) return blob !== undefined;
  const before = await Promise.all(parents.map(async (parent) => (await objects.entry(parent.commit.tree, path))?.oid));
  return before.every((other) => other !== blob);
}
