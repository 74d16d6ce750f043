/**
 * What a run plays, kept by hash: so it goes on as it began where the pattern, or its whole repository, is gone; also in a daemon
 * that never had it (invariant 6).
 */
import { createHash } from "node:crypto";
import type { ModuleContext, ObjectStore } from "../../daemon/module.ts";
import type { Reference } from "./contents.ts";
import { type Composition, type Pattern, patternFrom, renderPattern } from "./pattern.ts";
import type { HistorySettings } from "./retention.ts";

export interface PinnedPattern extends Pattern {
  readonly definition: Reference;
}

export interface PinOptions {
  /** Default: the present one. */
  readonly commit?: string | undefined;
  readonly logic?: string | undefined;
  /** As it was pinned before. */
  readonly definition?: Reference | undefined;
  /** A run that is about to begin refers to that definition, too. */
  readonly isForNewRun?: true;
}

interface Known {
  readonly composition: Composition;
  /** Time of the process's clock, in milliseconds, until which it need not be put again. */
  readonly freshUntil: number;
}

/** Definitions that this process has stored or read. */
const known = new WeakMap<ObjectStore, Map<string, Known>>();
const rememberedDefinitions = 200;

/** @throws CodedError COMPOSITION_NOT_FOUND, PATTERN_INVALID */
export async function pinnedPattern(context: ModuleContext, name: string, options: PinOptions = {}): Promise<PinnedPattern> {
  const { commit, logic, definition } = options;
  const kept = definition && (await read(context, definition));
  if (definition !== undefined && kept !== undefined) {
    return { ...patternFrom(kept, logic), definition: options.isForNewRun ? await store(context, kept) : definition };
  }
  const { type, version, data, ...found } = await renderPattern(context, name, commit);
  const composition = { name: found.name, type, version, commit: found.commit, data };
  const pattern = patternFrom(composition, logic);
  return { ...pattern, definition: await store(context, composition) };
}

/** Put again before it is so old that, with no run left that refers to it, it might be deleted (retention.ts). */
async function store({ objects, settings }: ModuleContext, composition: Composition): Promise<Reference> {
  const bytes = Buffer.from(JSON.stringify(composition));
  const hash = createHash("sha256").update(bytes).digest("hex");
  const now = performance.now();
  if ((knownIn(objects).get(hash)?.freshUntil ?? 0) <= now) {
    await objects.put(bytes);
    remember(objects, hash, { composition, freshUntil: now + ((settings as HistorySettings).grace_minutes * 60_000) / 2 });
  }
  return { $object: hash, bytes: bytes.length };
}

async function read({ objects }: ModuleContext, { $object }: Reference): Promise<Composition | undefined> {
  const remembered = knownIn(objects).get($object);
  if (remembered !== undefined) return remembered.composition;
  const bytes = await objects.get($object);
  if (bytes === undefined) return undefined;
  const composition = JSON.parse(Buffer.from(bytes).toString()) as Composition;
  remember(objects, $object, { composition, freshUntil: 0 });
  return composition;
}

function knownIn(objects: ObjectStore): Map<string, Known> {
  const found = known.get(objects) ?? new Map<string, Known>();
  known.set(objects, found);
  return found;
}

function remember(objects: ObjectStore, hash: string, one: Known): void {
  const all = knownIn(objects);
  all.set(hash, one);
  if (all.size > rememberedDefinitions) all.delete(all.keys().next().value as string);
}
