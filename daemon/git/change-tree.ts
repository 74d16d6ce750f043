import type { TreeEntry } from "isomorphic-git";
import type { ObjectBatch, ObjectReader } from "./objects.ts";
import type { FileChange } from "./work-tree.ts";

/** The tree with the changes in it; folders that become empty vanish. */
export async function changeTree(
  objects: ObjectReader,
  batch: ObjectBatch,
  tree: string | undefined,
  changes: readonly FileChange[],
): Promise<string> {
  const entries = new Map((tree ? await objects.tree(tree) : []).map((entry) => [entry.path, entry]));
  const folders = Map.groupBy(changes, ({ path }) => path.split("/", 1)[0] as string);
  for (const [name, inside] of folders) {
    const file = inside.find(({ path }) => path === name);
    if (file) {
      setEntry(entries, name, file.to && { mode: "100644", path: name, oid: file.to, type: "blob" });
      continue;
    }
    const known = entries.get(name);
    const deeper = inside.map((change) => ({ ...change, path: change.path.slice(name.length + 1) }));
    const oid = await changeTree(objects, batch, known?.type === "tree" ? known.oid : undefined, deeper);
    setEntry(entries, name, oid !== emptyTree && { mode: "040000", path: name, oid, type: "tree" });
  }
  const changed = [...entries.values()];
  const oid = batch.tree(changed);
  objects.rememberTree(oid, changed);
  return oid;
}

const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

function setEntry(entries: Map<string, TreeEntry>, name: string, entry: TreeEntry | null | false | ""): void {
  if (entry) entries.set(name, entry);
  else entries.delete(name);
}
