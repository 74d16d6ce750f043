/** Reads every object that a commit reaches, and compares each with its id. */
import { createHash, type Hash } from "node:crypto";
import type { ObjectReader } from "./objects.ts";
import { gitVersion, runGit, streamGit } from "./program.ts";

const mostProblems = 100;

export interface Check {
  /** How many objects were read. */
  readonly read: number;
  /** What is missing or damaged. */
  readonly problems: string[];
}

/** By the git program where there is one and commits and trees are whole, which is a hundred times as fast; else one by one. */
export async function checkObjects(objects: ObjectReader, tip: string | undefined): Promise<Check> {
  if (!tip) return { read: 0, problems: [] };
  const reachable = await listReachable(objects.gitdir, tip);
  if (!reachable) return walk(objects, tip);
  const whole = await findWhole(objects.gitdir, reachable);
  const problems: string[] = [];
  for (const oid of reachable) {
    if (problems.length === mostProblems) break;
    if (!whole.has(oid) && !(await objects.isWhole(oid))) problems.push(`object ${oid} is missing or damaged`);
  }
  return { read: reachable.length, problems };
}

/** @returns undefined if there is no git, or if it finds a commit or a tree damaged */
async function listReachable(gitdir: string, tip: string): Promise<string[] | undefined> {
  if (!(await gitVersion())) return undefined;
  const list = runGit(gitdir, ["--no-replace-objects", "rev-list", "--objects", "--no-object-names", tip], { background: true });
  return list.then(
    (text) => text.trim().split("\n"),
    () => undefined,
  );
}

/** Those whose content is what their id says. Git ends at the first that it cannot unpack: of the later ones nothing is said. */
async function findWhole(gitdir: string, oids: readonly string[]): Promise<Set<string>> {
  const whole = new Set<string>();
  let header = "";
  let current: { oid: string; hash: Hash; left: number } | undefined;
  const input = `${oids.join("\n")}\n`;
  try {
    for await (const chunk of streamGit(gitdir, ["--no-replace-objects", "cat-file", "--batch", "--buffer"], { input, background: true })) {
      for (let rest = chunk; rest.length > 0; ) {
        if (current) {
          const part = rest.subarray(0, current.left);
          current.hash.update(part);
          current.left -= part.length;
          rest = rest.subarray(part.length);
        } else {
          const end = rest.indexOf("\n");
          header += rest.toString("latin1", 0, end < 0 ? undefined : end);
          rest = end < 0 ? rest.subarray(rest.length) : rest.subarray(end + 1);
          const [oid = "", type, size] = end < 0 ? [] : header.split(" ");
          if (end >= 0) header = ""; // also the empty line after an object
          if (size !== undefined) current = { oid, hash: createHash("sha1").update(`${type} ${size}\0`), left: Number(size) };
        }
        if (current?.left === 0) {
          if (current.hash.digest("hex") === current.oid) whole.add(current.oid);
          current = undefined;
        }
      }
    }
  } catch {
    // What was not read is read one by one.
  }
  return whole;
}

async function walk(objects: ObjectReader, tip: string): Promise<Check> {
  const seen = new Set([tip]);
  const open = [{ oid: tip, type: "commit" }];
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
