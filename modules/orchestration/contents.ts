/**
 * Large contents of a run stand in the object store; what refers to them is small, so that no run outgrows its journal.
 *
 * In the journal a reference stands beside the record's own fields, under `objects`, where no content of a pattern can forge one.
 */
import { CodedError } from "../../daemon/errors.ts";
import type { ObjectStore } from "../../daemon/module.ts";
import type { RunEntry } from "./record.ts";

export interface Reference {
  /** SHA-256 of the content as JSON. */
  readonly $object: string;
  readonly bytes: number;
}

/** Bytes of JSON that still stand where they belong. */
export const inlineBytes = 32 * 1024;
/** Bytes of the largest content of a step or a run. */
const largestBytes = 16 * 1024 * 1024;

/** The fields that may be large, by the list of the entry that holds the records; the entry itself is under "". */
const largeFields = { "": ["inputs", "result"], results: ["value"], intents: ["effect"] } as const;

type Fields = Record<string, unknown> & { objects?: Record<string, Reference> };

/** The content itself, or where it is. @throws CodedError RUN_LIMIT_EXCEEDED */
export async function packed(objects: ObjectStore, content: unknown): Promise<unknown> {
  const text = JSON.stringify(content) ?? "";
  // Each character is one byte to four of UTF-8.
  if (text.length * 4 <= inlineBytes) return content;
  const bytes = Buffer.from(text);
  if (bytes.length <= inlineBytes) return content;
  assertSize(bytes.length);
  return { $object: await objects.put(bytes), bytes: bytes.length } satisfies Reference;
}

/** @throws CodedError RUN_LIMIT_EXCEEDED */
export function assertSize(bytes: number): void {
  if (bytes <= largestBytes) return;
  const message = `A content of the run has ${bytes} bytes; ${largestBytes} are allowed.`;
  throw new CodedError("RUN_LIMIT_EXCEEDED", message, { limit: "content_bytes", allowed: largestBytes });
}

/** The entry with references in place of its large contents. */
export async function packEntry(objects: ObjectStore, entry: RunEntry): Promise<RunEntry> {
  return mapRecords(entry, async (record, fields) => {
    let small = record;
    for (const field of fields) {
      if (record[field] === undefined) continue;
      const content = await packed(objects, record[field]);
      if (content === record[field]) continue;
      const { [field]: _, ...others } = small;
      small = { ...others, objects: { ...small.objects, [field]: content as Reference } };
    }
    return small;
  });
}

/** The entry as it was before it was packed. @throws CodedError RUN_DIVERGED when a content is gone */
export async function unpackEntry(objects: ObjectStore, entry: RunEntry): Promise<RunEntry> {
  return mapRecords(entry, async ({ objects: references, ...record }) => {
    for (const [field, reference] of Object.entries(references ?? {})) record[field] = await unpacked(objects, reference);
    return record;
  });
}

/** Where a large content of a stored entry is; undefined when it is small. */
export const referenceOf = (entry: RunEntry, field: "inputs" | "result"): Reference | undefined =>
  (entry as unknown as Fields).objects?.[field];

/** SHA-256 of all contents to which something stored refers, wherever in it. */
export function contentsOf(stored: unknown): Set<string> {
  return new Set([...JSON.stringify(stored).matchAll(/"\$object":"([0-9a-f]{64})"/g)].map(([, sha256]) => sha256 as string));
}

async function unpacked(objects: ObjectStore, { $object, bytes }: Reference): Promise<unknown> {
  const content = await objects.get($object);
  if (content === undefined) throw new CodedError("RUN_DIVERGED", `The content ${$object} (${bytes} bytes) is gone.`, { object: $object });
  return JSON.parse(Buffer.from(content).toString());
}

async function mapRecords(entry: RunEntry, change: (record: Fields, fields: readonly string[]) => Promise<Fields>): Promise<RunEntry> {
  const changed = await change({ ...entry } as unknown as Fields, largeFields[""]);
  for (const list of ["results", "intents"] as const) {
    const records = changed[list] as Fields[] | undefined;
    if (records !== undefined) changed[list] = await Promise.all(records.map((record) => change(record, largeFields[list])));
  }
  return changed as unknown as RunEntry;
}
