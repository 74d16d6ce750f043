/**
 * The git store: an ordinary, non-bare repository that people may use with plain git at any time.
 *
 * 1. One writer: an owner lock inside `.git`, and a queue within the process.
 * 2. A commit is durable when `commit` resolves: every file is written beside, fsynced, renamed.
 * 3. The branch moves by compare-and-set; a hand-made commit in between is built upon, never lost.
 * 4. An uncommitted edit is never overwritten.
 *
 * Reading order: paths, initialise, durable-files, objects, change-tree, branch, index-file, work-tree (publishing), history, compare, check, maintenance, health, seed.
 */
import { join } from "node:path";
import type { TreeEntry } from "isomorphic-git";
import { CodedError } from "../errors.ts";
import type { CommitAuthor, CommitInfo, CommitRequest, Repository, RepositoryFile } from "../module.ts";
import { acquireOwnerLock, OwnedElsewhereError } from "../owner-lock.ts";
import { appendReflog, type Head, readHead, readReflog, unavailable } from "./branch.ts";
import { changeTree } from "./change-tree.ts";
import { checkObjects } from "./check.ts";
import { compareTrees, walkChanges } from "./compare.ts";
import { DurableFiles } from "./durable-files.ts";
import { findProblem } from "./health.ts";
import { describeCommit, walkHistory } from "./history.ts";
import { initialise } from "./initialise.ts";
import { maintain } from "./maintenance.ts";
import { ObjectBatch, ObjectReader } from "./objects.ts";
import { assertWritablePath, isCompositionFolder } from "./paths.ts";
import { type FileChange, WorkTree } from "./work-tree.ts";

const defaultAuthor: CommitAuthor = { name: "reprise", email: "reprise@localhost" };
const maximumAttempts = 50;
/** Commits of ours between looks whether there is enough to pack; the first look is at the first. */
const commitsPerLook = 50;
/** Milliseconds between looks whether git has left what was published in its index. */
const settlesEvery = 50;

export interface GitRepository extends Repository, AsyncDisposable {
  /** Why writes are refused, as found at the last look; undefined when all is well. */
  readonly problem: string | undefined;
}

/**
 * Opens the repository in a folder, and makes one (branch `main`) if there is none.
 * A damaged or read-only repository opens too: it is read, and writes are refused with the reason.
 * @throws OwnedElsewhereError if another process has it
 */
export async function openRepository(folder: string, options: { url?: string } = {}): Promise<GitRepository> {
  const gitdir = join(folder, ".git");
  await initialise(folder, gitdir);
  const resources = new AsyncDisposableStack();
  const files = new DurableFiles(join(gitdir, "reprise", "temporary"));
  const objects = new ObjectReader(gitdir);
  const workTree = new WorkTree(folder, files, objects);
  let isOwned = false;
  let isSound = false;
  let problem: string | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  /** The last tip that was looked at. */
  let readable: string | undefined;
  let sharedHead: Promise<string | undefined> | undefined;
  let isClosed = false;
  let commits = 0;
  let settling: NodeJS.Timeout | undefined;
  let maintenance: Promise<unknown> | undefined;
  const stopping = new AbortController();

  /** @returns why the lock cannot even be tried, as in a read-only folder */
  async function takeOwnership(): Promise<string | undefined> {
    try {
      resources.use(await acquireOwnerLock(join(gitdir, "reprise", "owner.lock"), { purpose: "repository", ...options }));
    } catch (error) {
      if (error instanceof OwnedElsewhereError) throw error;
      return `the repository cannot be locked: ${(error as Error).message}`;
    }
    isOwned = true;
    await files.prepare();
    return undefined;
  }

  /**
   * Looks for damage, takes ownership, tidies up after a crash. Again before each write after a failure: it may be mended.
   */
  async function prepare(): Promise<void> {
    const lockFailure = isOwned ? undefined : await takeOwnership();
    problem = (await findProblem(objects)) ?? lockFailure ?? (await findUnfinished());
    isSound = problem === undefined;
  }

  /** Completes a commit that a crash cut short. @returns why it cannot be completed */
  async function findUnfinished(): Promise<string | undefined> {
    try {
      await workTree.finish();
      return undefined;
    } catch (error) {
      return `a commit that was cut short cannot be completed: ${(error as Error).message}`;
    }
  }

  /** Calls at the same time share one look at the disk; our own commits end the sharing, so they are seen at once. */
  function head(): Promise<string | undefined> {
    if (sharedHead) return sharedHead;
    const reading = findHead().finally(() => {
      if (sharedHead === reading) sharedHead = undefined;
    });
    sharedHead = reading;
    return reading;
  }

  /** The tip; where it is torn or damaged, the newest commit of the reflog that can still be read. */
  async function findHead(): Promise<string | undefined> {
    const tip = tryReadHead(gitdir);
    if (!("error" in tip) && (!tip.commit || (await isReadable(tip.commit)))) return tip.commit;
    for (const oid of await readReflog(gitdir)) {
      if (await isReadable(oid)) return oid;
    }
    throw "error" in tip ? tip.error : unavailable(`object ${tip.commit} is missing or damaged`);
  }

  /** Can the commit's compositions be listed? A file that is damaged itself hides no other. */
  async function isReadable(commit: string): Promise<boolean> {
    if (commit === readable) return true;
    try {
      const entries = await objects.tree((await objects.commit(commit)).tree);
      await Promise.all(entries.map(({ type, path, oid }) => type === "tree" && isCompositionFolder(path) && objects.tree(oid)));
    } catch {
      return false;
    }
    readable = commit;
    return true;
  }

  async function entryAt(path: string, commit?: string): Promise<TreeEntry | undefined> {
    if (commit && !(await objects.isPresent(commit))) return undefined;
    const tip = commit ?? (await head());
    return tip ? objects.entry((await objects.commit(tip)).tree, path) : undefined;
  }

  async function read(path: string, commit?: string): Promise<RepositoryFile | undefined> {
    const entry = await entryAt(path, commit);
    if (entry?.type !== "blob") return undefined;
    return { path, content: await readBlob(entry.oid), blob: entry.oid };
  }

  async function readBlob(blob: string): Promise<string> {
    return new TextDecoder().decode(await objects.blob(blob));
  }

  async function list(folderPath: string, commit?: string): Promise<string[]> {
    const entry = await entryAt(folderPath, commit);
    if (entry?.type !== "tree") return [];
    return (await objects.tree(entry.oid)).filter(({ type }) => type === "blob").map(({ path }) => `${folderPath}/${path}`);
  }

  async function write(request: CommitRequest): Promise<CommitInfo> {
    if (!isSound) await prepare();
    if (problem) throw unavailable(problem);
    await workTree.finish();
    let basis: readonly FileChange[] | undefined;
    for (let attempt = 0; attempt < maximumAttempts; attempt++) {
      const tip = readHead(gitdir);
      const parent = tip.commit === undefined ? undefined : await objects.commit(tip.commit);
      const batch = new ObjectBatch();
      const changes = await compare(request, parent?.tree, batch);
      if (basis) assertSameBasis(basis, changes);
      basis = changes;
      const tree = await changeTree(objects, batch, parent?.tree, changes);
      const commit = newCommit(request, tree, tip.commit);
      const oid = batch.commit(commit);
      await batch.flush(files, gitdir);
      const changed = changes.filter(({ from, to }) => from !== to);
      objects.rememberCommit(oid, commit);
      if (await workTree.publish(tip, oid, changed, request.files)) {
        sharedHead = undefined;
        const info = describeCommit(oid, commit);
        noteInReflog(tip, info);
        settleLater();
        maintainSometimes();
        return info;
      }
    }
    throw new CodedError("REPOSITORY_CONFLICT", "The branch is being moved by others all the time; try again", {});
  }

  /** The commit is made, with or without a note of it. */
  function noteInReflog(tip: Head, info: CommitInfo): void {
    try {
      appendReflog(gitdir, tip, info);
    } catch {
      // The disk is full, for example; the next write says so.
    }
  }

  /** Between two writes, until nothing can be lost any more. */
  function settleLater(): void {
    settling ??= setTimeout(() => {
      settling = undefined;
      queue = queue.then(async () => {
        const isSettled = isClosed || (await workTree.settle().catch(() => false));
        if (!isSettled) settleLater();
      });
    }, settlesEvery).unref();
  }

  /** Beside the writes, never in their way: what fails is tried again at the next look. */
  function maintainSometimes(): void {
    if (commits++ % commitsPerLook > 0 || maintenance) return;
    maintenance = maintain(gitdir, stopping.signal)
      .catch(() => undefined)
      .finally(() => {
        maintenance = undefined;
      });
  }

  async function compare(request: CommitRequest, tree: string | undefined, batch: ObjectBatch): Promise<FileChange[]> {
    return Promise.all(
      Object.entries(request.files).map(async ([path, content]) => {
        const from = (tree && (await objects.entry(tree, path))?.oid) || null;
        const expected = request.expected?.[path];
        if (expected !== undefined && expected !== from) throw stale(path, from);
        return { path, from, to: content === null ? null : batch.blob(Buffer.from(content)) };
      }),
    );
  }

  /** Failures of the disk (full, read-only, broken) are the repository's state, not a defect. */
  function fail(error: NodeJS.ErrnoException): never {
    const isOfDisk = error.syscall !== undefined || error instanceof OwnedElsewhereError;
    const failure = isOfDisk ? unavailable(error.message, error) : error;
    if (failure.code === "REPOSITORY_UNAVAILABLE") isSound = false;
    throw failure;
  }

  await prepare();
  return {
    folder,
    get problem() {
      return problem;
    },
    head,
    read,
    readBlob,
    list,
    async commit(request) {
      for (const path of Object.keys(request.files)) assertWritablePath(path);
      if (isClosed) throw new CodedError("SHUTTING_DOWN", "The repository is closed");
      const result = queue.then(() => write(request)).catch(fail);
      queue = result.catch(() => undefined);
      return result;
    },
    async *log(logOptions) {
      yield* walkHistory(objects, await head(), logOptions);
    },
    async compare(from, to) {
      return compareTrees(objects, from && (await objects.commit(from)).tree, (await objects.commit(to)).tree);
    },
    check: async () => checkObjects(objects, await head()),
    changes: (tip, since) => walkChanges(objects, tip, since),
    async [Symbol.asyncDispose]() {
      isClosed = true;
      clearTimeout(settling);
      stopping.abort();
      await Promise.all([queue, maintenance]);
      if (isOwned) await workTree.settle().catch(() => false);
      await resources.disposeAsync();
    },
  };
}

function tryReadHead(gitdir: string): Head | { readonly error: unknown; readonly commit: undefined } {
  try {
    return readHead(gitdir);
  } catch (error) {
    return { error, commit: undefined };
  }
}

function newCommit(request: CommitRequest, tree: string, parent: string | undefined) {
  const { name, email } = request.author ?? defaultAuthor;
  const person = {
    name: plain(name) || defaultAuthor.name,
    email: plain(email) || defaultAuthor.email,
    timestamp: Math.floor(Date.now() / 1000),
    timezoneOffset: 0,
  };
  const message = `${request.message.replaceAll("\0", "").trim()}\n`;
  return { message, tree, parent: parent ? [parent] : [], author: person, committer: person };
}

/** Without what would break the line of a commit object. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
const plain = (text: string): string => text.replace(/[<>\x00-\x1f]/g, "").trim();

function assertSameBasis(basis: readonly FileChange[], changes: readonly FileChange[]): void {
  for (const [position, { path, from }] of changes.entries()) {
    if (basis[position]?.from !== from) throw stale(path, from);
  }
}

const stale = (path: string, blob: string | null): CodedError =>
  new CodedError("COMPOSITION_STALE", `${path} was changed by another commit; read it again`, { path, blob });
