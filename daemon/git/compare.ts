/** What changed between trees, and commit by commit; a subtree that is the same is not read. */
import type { CommitChange, FileState } from "../module.ts";
import { describeCommit } from "./history.ts";
import type { ObjectReader } from "./objects.ts";

/** The files that differ between two trees; undefined = an empty one. */
export async function compareTrees(
  objects: ObjectReader,
  from: string | undefined,
  to: string | undefined,
  prefix = "",
): Promise<FileState[]> {
  if (from === to) return [];
  const before = new Map((from ? await objects.tree(from) : []).map((entry) => [entry.path, entry]));
  const changed: FileState[] = [];
  const enter = async (name: string, left?: { oid: string; type: string }, right?: { oid: string; type: string }) => {
    if (left?.oid === right?.oid && left?.type === right?.type) return;
    const path = prefix + name;
    const isTree = (entry?: { type: string }) => entry?.type === "tree";
    if (right?.type === "blob") changed.push({ path, blob: right.oid });
    else if (left?.type === "blob") changed.push({ path, blob: null });
    if (!isTree(left) && !isTree(right)) return;
    changed.push(
      ...(await compareTrees(objects, isTree(left) ? left?.oid : undefined, isTree(right) ? right?.oid : undefined, `${path}/`)),
    );
  };
  for (const entry of to ? await objects.tree(to) : []) {
    const old = before.get(entry.path);
    before.delete(entry.path);
    if (old?.oid !== entry.oid) await enter(entry.path, old, entry);
  }
  for (const old of before.values()) await enter(old.path, old);
  return changed;
}

/** Walks from the tip, newest first; a known commit and what is only behind it is left out. */
export async function* walkChanges(objects: ObjectReader, tip: string, isKnown: (commit: string) => boolean): AsyncIterable<CommitChange> {
  if (isKnown(tip)) return;
  const open = [{ oid: tip, commit: await objects.commit(tip) }];
  const seen = new Set([tip]);
  for (let visit = open.shift(); visit; visit = open.shift()) {
    const { oid, commit } = visit;
    const parents = await Promise.all(commit.parent.map(async (parent) => ({ oid: parent, commit: await objects.commit(parent) })));
    const [first, ...others] = await Promise.all(
      (parents.length > 0 ? parents : [undefined]).map((parent) => compareTrees(objects, parent?.commit.tree, commit.tree)),
    );
    const isInAll = ({ path, blob }: FileState) => others.every((files) => files.some((file) => file.path === path && file.blob === blob));
    yield { info: describeCommit(oid, commit), parents: commit.parent, files: (first ?? []).filter(isInAll) };
    for (const parent of parents) {
      if (seen.has(parent.oid) || isKnown(parent.oid)) continue;
      seen.add(parent.oid);
      const later = open.findIndex((other) => other.commit.committer.timestamp < parent.commit.committer.timestamp);
      open.splice(later < 0 ? open.length : later, 0, parent);
    }
  }
}
