/**
 * Writes the result of a merge as YAML: the lines of ours, with those of theirs where they changed something, comments and
 * styles included. What is said was settled before, by `mergeData`; here it is only put into words. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { Lexer } from "yaml";
import { CodedError } from "../../daemon/errors.ts";
import { isObject } from "./field-path.ts";
import { reconcile } from "./yaml-edit.ts";
import { type Block, type Chunk, cutBlock } from "./yaml-layout.ts";
import { readYamlOnce } from "./yaml-memory.ts";
import { renderEntry, shift } from "./yaml-render.ts";

export interface Texts {
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

/**
 * @param merged what the result has to say
 * @param takes whether theirs count for a key at the top, or (undefined) for what stands around the fields
 * @throws CodedError COMPOSITION_INVALID for a text that is no YAML
 */
export function mergeTexts(texts: Texts, merged: unknown, takes: Takes = () => true): string {
  const [base, ours, theirs] = [texts.base, texts.ours, texts.theirs].map((text) => {
    const { document } = readYamlOnce(text);
    return { text, block: cutBlock(text, document.contents, 0, text.length) };
  }) as [Part, Part, Part];
  return reconcileSafely(weave(base, ours, theirs, merged, takes), ours.text, merged);
}

export type Takes = (key: string | undefined) => boolean;

/** A stretch of text, and how it is cut where it is a block collection. */
interface Part {
  readonly text: string;
  readonly block: Block | undefined;
}

/** The pieces were put together by their looks; if they do not read as YAML, ours are edited instead. */
function reconcileSafely(woven: string, ours: string, merged: unknown): string {
  try {
    return reconcile(woven, merged);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return reconcile(ours, merged);
  }
}

/** @param takes given at the top only; further down theirs always count */
function weave(base: Part | undefined, ours: Part, theirs: Part, merged: unknown, takes?: Takes): string {
  const [ourBlock, theirBlock] = [ours.block, theirs.block];
  if (!takes && (theirs.text === base?.text || theirs.text === ours.text)) return ours.text;
  if (!takes && ours.text === base?.text) return theirs.text;
  if (!ourBlock || !theirBlock || ourBlock.kind !== theirBlock.kind) return ours.text;
  const { kind, indent } = ourBlock;
  const original = base?.block?.kind === kind ? base.block : undefined;
  const around = (part: "head" | "tail") => {
    const [before = "", our, their] = [original?.[part], ourBlock[part], theirBlock[part]];
    if (takes?.(undefined) === false) return our;
    return takes ? withComments(pick(before, our, their), before, our, their, indent) : pick(before, our, their);
  };
  const by = (block: Block | undefined) => new Map(block?.chunks.map((chunk) => [identify(block, chunk), chunk]));
  const chunks = { base: by(original), ours: by(ourBlock), theirs: by(theirBlock) };
  const lines = [...orderOf(merged, chunks)].map((key) => {
    const [before, our, their] = [chunks.base.get(key), chunks.ours.get(key), chunks.theirs.get(key)];
    if (our && (!their || takes?.(key) === false)) return our.lead + our.body;
    if (!their) return kind === "seq" ? shift(`${renderEntry([JSON.parse(key)])}\n`, indent) : "";
    const offset = indent - theirBlock.indent;
    const moved = { ...their, lead: shift(their.lead, offset), body: shift(their.body, offset) };
    if (!our) return moved.lead + moved.body;
    return weaveChunk(before, our, moved, ourBlock, isObject(merged) ? merged[key] : JSON.parse(key));
  });
  return [around("head"), ...lines.map((text) => (text === "" || text.endsWith("\n") ? text : `${text}\n`)), around("tail")].join("");
}

function weaveChunk(before: Chunk | undefined, our: Chunk, their: Chunk, { kind, indent }: Block, merged: unknown): string {
  const lead = pick(before?.lead, our.lead, their.lead);
  const [base, ours, theirs] = [before, our, their].map((chunk) => chunk && { text: chunk.body, block: cutChunk(chunk, kind) });
  const isTheirs = !isDeepStrictEqual(dataOf(our, kind), merged) && isDeepStrictEqual(dataOf(their, kind), merged);
  const body =
    ours?.block && theirs?.block ? weave(base, ours, theirs, merged) : isTheirs || our.body === before?.body ? their.body : our.body;
  return withComments(lead + body, (before?.lead ?? "") + (before?.body ?? ""), our.lead + our.body, their.lead + their.body, indent);
}

/** A chunk read on its own, so that its places count from its own start. */
function cutChunk(chunk: Chunk, kind: Block["kind"]): Block | undefined {
  const { document } = readYamlOnce(chunk.body);
  const outer = document.contents as unknown as { items: unknown[] } | null;
  const entry = outer?.items[0];
  const value = kind === "map" ? (entry as { value?: unknown } | undefined)?.value : entry;
  return cutBlock(chunk.body, value, 0, chunk.body.length);
}

function dataOf(chunk: Chunk, kind: Block["kind"]): unknown {
  const { data } = readYamlOnce(chunk.body);
  return kind === "map" ? (data as Record<string, unknown>)[chunk.key] : (data as unknown[])[0];
}

/** A key, or for an entry of a list what it says: entries have no names. */
const identify = (block: Block, chunk: Chunk): string =>
  block.kind === "map" ? chunk.key : JSON.stringify(dataOf(chunk, block.kind) ?? null);

/** The order of ours, or of theirs where ours is that of the base; what only the other has comes behind what it follows there. */
function orderOf(merged: unknown, chunks: Record<"base" | "ours" | "theirs", ReadonlyMap<string, Chunk>>): Iterable<string> {
  if (Array.isArray(merged)) return merged.map((item) => JSON.stringify(item));
  const keysOf = (side: ReadonlyMap<string, Chunk>) => [...side.keys()].filter((key) => isObject(merged) && Object.hasOwn(merged, key));
  const isOrdered = isDeepStrictEqual([...chunks.ours.keys()], [...chunks.base.keys()]);
  const [order, other] = isOrdered ? [keysOf(chunks.theirs), keysOf(chunks.ours)] : [keysOf(chunks.ours), keysOf(chunks.theirs)];
  let previous = -1;
  for (const key of other) {
    if (!order.includes(key)) order.splice(previous + 1, 0, key);
    previous = order.indexOf(key);
  }
  return order;
}

const pick = (base: string | undefined, ours: string, theirs: string): string => (ours === base ? theirs : ours);

/** Adds, above, the comments of either side that went missing although nobody removed them. */
function withComments(text: string, base: string, ours: string, theirs: string, indent: number): string {
  const [present, before, our, their] = [text, base, ours, theirs].map(commentsOf) as [Comments, Comments, Comments, Comments];
  const isLost = (comment: string) => !present.has(comment) && (!before.has(comment) || (our.has(comment) && their.has(comment)));
  return (
    [...new Set([...our, ...their])]
      .filter(isLost)
      .map((comment) => `${" ".repeat(indent)}${comment}\n`)
      .join("") + text
  );
}

type Comments = ReadonlySet<string>;

function commentsOf(text: string): Comments {
  const comments = new Set<string>();
  let isScalar = false;
  for (const token of new Lexer().lex(text)) {
    if (!isScalar && token.startsWith("#")) comments.add(token.trimEnd());
    isScalar = token === "\u001f";
  }
  return comments;
}
