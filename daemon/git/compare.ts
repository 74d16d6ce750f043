/** What changed between trees, and commit by commit. */
import type { CommitChange, FileState } from "../module.ts";
import { describeCommit } from "./history.ts";
import type { ObjectReader } from "./objects.ts";
import { gitVersion, streamGit } from "./program.ts";

/** The files that differ between two trees; undefined = an empty one. A subtree that is the same is not read. */
export async function compareTrees(
  objects: ObjectReader,
  from: string | undefined,
  to: string | undefined,
  prefix = "",
): Promise<FileState[]> {
  if (from === to) return [];
  const before = new Map((from ? await objects.tree(from) : []).map((entry) => [entry.path, entry]));
  const changed: FileState[] = [];
  const compare = async (name: string, left?: { oid: string; type: string }, right?: { oid: string; type: string }) => {
    if (left?.oid === right?.oid && left?.type === right?.type) return;
    const path = prefix + name;
    if (right?.type === "blob") changed.push({ path, blob: right.oid });
    else if (left?.type === "blob") changed.push({ path, blob: null });
    const [leftTree, rightTree] = [left, right].map((entry) => (entry?.type === "tree" ? entry.oid : undefined));
    changed.push(...(await compareTrees(objects, leftTree, rightTree, `${path}/`)));
  };
  for (const entry of to ? await objects.tree(to) : []) {
    const old = before.get(entry.path);
    before.delete(entry.path);
    await compare(entry.path, old, entry);
  }
  for (const old of before.values()) await compare(old.path, old);
  return changed;
}

/**
 * The commits of a tip that another does not have, newest first: by the git program where there is one, else one by one.
 * One that is gone, as after a rewrite and a `git gc`, has nothing.
 */
export async function* walkChanges(objects: ObjectReader, tip: string, since: string | undefined): AsyncIterable<CommitChange> {
  // A few commits are sooner read than a program is started.
  if (since !== undefined && !(await objects.isPresent(since))) since = undefined;
  const near = since !== undefined && (await isNear(objects, tip, since));
  if (!near && (await gitVersion())) yield* readLog(objects.gitdir, tip, since);
  else yield* walkCommits(objects, tip, since);
}

const nearCommits = 20;

async function isNear(objects: ObjectReader, tip: string, since: string): Promise<boolean> {
  let commit: string | undefined = tip;
  for (let count = 0; commit !== undefined && count < nearCommits; count++) {
    if (commit === since) return true;
    const { parent }: { parent: string[] } = await objects.commit(commit);
    if (parent.length > 1) return false;
    commit = parent[0];
  }
  return false;
}

async function* walkCommits(objects: ObjectReader, tip: string, since: string | undefined): AsyncIterable<CommitChange> {
  const visitOf = async (oid: string, isOld: boolean) => ({ oid, isOld, commit: await objects.commit(oid) });
  const open = [await visitOf(tip, false), ...(since ? [await visitOf(since, true)] : [])];
  const old = new Set(since && [since]);
  const seen = new Set([tip]);
  while (open.some(({ oid }) => !old.has(oid))) {
    open.sort((left, right) => right.commit.committer.timestamp - left.commit.committer.timestamp);
    const { oid, commit } = open.shift() as Awaited<ReturnType<typeof visitOf>>;
    const isOld = old.has(oid);
    const parents = await Promise.all(commit.parent.map((parent) => visitOf(parent, isOld)));
    if (!isOld) yield { ...(await describeChange(objects, oid, commit, parents)), parents: commit.parent };
    for (const parent of parents) {
      if (isOld ? old.has(parent.oid) : seen.has(parent.oid) || old.has(parent.oid)) continue;
      (isOld ? old : seen).add(parent.oid);
      open.push(parent);
    }
  }
}

type CommitObject = Parameters<typeof describeCommit>[1];

async function describeChange(objects: ObjectReader, oid: string, commit: CommitObject, parents: readonly { commit: CommitObject }[]) {
  const trees = parents.length > 0 ? parents.map((parent) => parent.commit.tree) : [undefined];
  const [first = [], ...others] = await Promise.all(trees.map((tree) => compareTrees(objects, tree, commit.tree)));
  const files = first.filter(({ path, blob }) => others.every((each) => each.some((file) => file.path === path && file.blob === blob)));
  return { info: describeCommit(oid, commit), files };
}

/** Per commit: a header and the message, each ended by NUL, then a line per file. With `-c` a merge has what differs from all parents. */
async function* readLog(gitdir: string, tip: string, since: string | undefined): AsyncIterable<CommitChange> {
  const format = "%x01%H%x00%P%x00%an%x00%ae%x00%at%x00%B%x00";
  const whatAndHow = [
    "--raw",
    "-c",
    "--root",
    "--no-renames",
    "--no-abbrev",
    "-z",
    "--no-show-signature",
    "--no-mailmap",
    "--encoding=UTF-8",
  ];
  const range = [tip, ...(since ? [`^${since}`] : []), "--"];
  let rest = Buffer.alloc(0);
  for await (const chunk of streamGit(gitdir, ["log", ...whatAndHow, `--format=${format}`, ...range])) {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf("\0\x01", 1); end >= 0; end = rest.indexOf("\0\x01", 1)) {
      yield parseRecord(rest.toString("utf8", 1, end));
      rest = rest.subarray(end + 1);
    }
  }
  if (rest.length > 0) yield parseRecord(rest.toString("utf8", 1));
}

function parseRecord(record: string): CommitChange {
  const [commit = "", parents = "", name = "", email = "", seconds = "", message = "", ...raw] = record.split("\0");
  const files: FileState[] = [];
  for (let place = 0; place + 1 < raw.length; place++) {
    // `:mode mode blob blob status`, of a merge `::mode mode mode blob blob blob status`; the newest state is the last.
    const [, marks = "", fields = ""] = /^\n?(:+)(.*)$/.exec(raw[place] ?? "") ?? [];
    if (marks === "") continue;
    const parts = fields.split(" ");
    const mode = parts[marks.length] ?? "";
    const blob = parts.at(-2) ?? "";
    place++;
    if (/^1|^0+$/.test(mode) && mode !== "160000") files.push({ path: raw[place] ?? "", blob: /^0+$/.test(mode) ? null : blob });
  }
  const time = new Date(Number(seconds) * 1000).toISOString();
  return { info: { commit, message, author: { name, email, time } }, parents: parents === "" ? [] : parents.split(" "), files };
}
