/** Reads every object that a commit reaches, and compares each with its id. */
import type { ObjectReader } from "./objects.ts";

const mostProblems = 100;

/** @returns how many objects were read, and what is missing or damaged */
export async function checkObjects(objects: ObjectReader, tip: string | undefined): Promise<{ read: number; problems: string[] }> {
  const seen = new Set<string>(tip ? [tip] : []);
  const open = [...seen].map((oid) => ({ oid, type: "commit" }));
  const problems: string[] = [];
  const enter = (oid: string, type: string) => {
    if (seen.has(oid) || type === "commit-link") return;
    seen.add(oid);
    open.push({ oid, type });
  };
  for (let next = open.pop(); next && problems.length < mostProblems; next = open.pop()) {
    const { oid, type } = next;
    if (!(await objects.isWhole(oid))) {
      problems.push(`${type} ${oid} is missing or damaged`);
      continue;
    }
    if (type === "commit") {
      const { tree, parent } = await objects.commit(oid);
      for (const each of parent) enter(each, "commit");
      enter(tree, "tree");
    }
    if (type === "tree")
      for (const entry of await objects.tree(oid)) enter(entry.oid, entry.type === "commit" ? "commit-link" : entry.type);
  }
  return { read: seen.size, problems };
}
