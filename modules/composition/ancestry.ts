/** How compositions descend from one another, as their `lineage` says, and where the ways of two of them parted. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Repository } from "../../daemon/module.ts";
import { type Composition, type CompositionStore, parseReference } from "./store.ts";

const longestAncestry = 1_000;

/** What a merge leaves behind in the one that it went into. */
const mergeRecord = z.looseObject({
  /** name@version */
  source: z.string(),
  /** At which the source was read. */
  commit: z.string(),
  strategy: z.enum(["full", "selective", "metadata_only"]),
  merged_at: z.string(),
  evidence: z.array(z.string()).optional(),
});
export type MergeRecord = z.output<typeof mergeRecord>;

export const forkRecord = z.looseObject({
  parent: z.string().describe("name@version"),
  commit: z.string().describe("the commit that the parent was read at"),
  reason: z.string(),
  forked_at: z.string().describe("RFC 3339"),
  generation: z.number().describe("1 for a fork of one that is no fork itself"),
});
export type ForkRecord = z.output<typeof forkRecord>;

/** Undefined for what is no fork. */
export const forkOf = ({ fields }: Composition): ForkRecord | undefined =>
  fields instanceof CodedError ? undefined : forkRecord.safeParse(fields.lineage).data;

function mergesOf({ fields }: Composition): MergeRecord[] {
  const merges = fields instanceof CodedError ? undefined : fields.lineage?.merges;
  return Array.isArray(merges) ? merges.flatMap((entry) => mergeRecord.safeParse(entry).data ?? []) : [];
}

/** One that a composition descends from, at the commit that it was forked at. */
interface Ancestor {
  readonly name: string;
  readonly commit: string;
  /** When the way parted from it; undefined for the composition itself. */
  readonly forkedAt?: string;
}

/** The composition itself, then its parent, and so on, as far as they are still in the repository. */
async function ancestorsOf(store: CompositionStore, composition: Composition): Promise<Ancestor[]> {
  const ancestors: Ancestor[] = [{ name: composition.name, commit: composition.commit }];
  let current: Composition | undefined = composition;
  while (current && ancestors.length < longestAncestry) {
    const fork = forkOf(current);
    if (!fork) break;
    const parent: Ancestor = { name: parseReference(fork.parent).name, commit: fork.commit, forkedAt: fork.forked_at };
    ancestors.push(parent);
    current = await readAncestor(store, parent);
  }
  return ancestors;
}

async function readAncestor(store: CompositionStore, { name, commit }: Ancestor): Promise<Composition | undefined> {
  try {
    return await store.get({ name, commit });
  } catch (error) {
    if (error instanceof CodedError && error.code === "COMPOSITION_NOT_FOUND") return undefined;
    throw error;
  }
}

interface Meeting {
  readonly left: Ancestor;
  readonly right: Ancestor;
}

async function meetingOf(store: CompositionStore, left: Composition, right: Composition): Promise<Meeting | undefined> {
  const rights = await ancestorsOf(store, right);
  for (const one of await ancestorsOf(store, left)) {
    const other = rights.find(({ name }) => name === one.name);
    if (other) return { left: one, right: other };
  }
  return undefined;
}

export type Relationship = "same" | "ancestor" | "descendant" | "siblings" | "unrelated";

/** What the left one is to the right one. Of one composition at two commits the older one is the ancestor. */
export async function relationshipOf(
  store: CompositionStore,
  repository: Repository,
  left: Composition,
  right: Composition,
): Promise<Relationship> {
  if (left.name === right.name) {
    if (left.file.blob === right.file.blob) return "same";
    for await (const { commit } of repository.log({ path: right.file.path })) {
      const blob = (await repository.read(right.file.path, commit))?.blob;
      if (blob === right.file.blob) return "ancestor";
      if (blob === left.file.blob) return "descendant";
    }
    return "unrelated";
  }
  const meeting = await meetingOf(store, left, right);
  if (!meeting) return "unrelated";
  if (meeting.left.forkedAt === undefined) return "ancestor";
  return meeting.right.forkedAt === undefined ? "descendant" : "siblings";
}

/**
 * The newest state that both had in common: the source as it was last merged into the other as a whole, else the fork point.
 * @throws CodedError COMPOSITION_UNRELATED, with the reason
 */
export async function commonAncestor(store: CompositionStore, source: Composition, target: Composition): Promise<Composition> {
  const meeting = await meetingOf(store, source, target);
  if (!meeting) {
    throw unrelated(source, target, "neither was forked from the other, and they have no ancestor in common");
  }
  const { left, right } = meeting;
  const forkPoint = (left.forkedAt ?? "~") < (right.forkedAt ?? "~") ? left : right;
  const merged = [...mergesOf(target).filter(isFullMergeOf(source)), ...mergesOf(source).filter(isFullMergeOf(target))].sort(
    (one, other) => (one.merged_at < other.merged_at ? 1 : -1),
  )[0];
  const at = merged ? { name: parseReference(merged.source).name, commit: merged.commit } : forkPoint;
  const base = await readAncestor(store, at);
  if (base) return base;
  throw unrelated(source, target, `${at.name} at ${at.commit}, where they parted, is not in the repository`);
}

const isFullMergeOf =
  ({ name }: Composition) =>
  ({ source, strategy }: MergeRecord): boolean =>
    strategy === "full" && parseReference(source).name === name;

const unrelated = (source: Composition, target: Composition, reason: string): CodedError =>
  new CodedError("COMPOSITION_UNRELATED", `${source.name} cannot be merged into ${target.name}: ${reason}`, {
    source: source.name,
    target: target.name,
    reason,
  });
