/** Reading decisions back: newest first, over all segments, filtered. */
import { isDeepStrictEqual } from "node:util";
import type { DecisionEntry } from "./entries.ts";
import type { DecisionSegments } from "./segments.ts";

export interface DecisionFilter {
  readonly outcome?: unknown;
  readonly run?: string;
  /** RFC 3339, inclusive. */
  readonly since?: string;
  readonly limit: number;
  /** As an earlier page gave it: the segment's number and the position in it, stable while decisions are added. */
  readonly cursor?: string;
}

export interface DecisionPage {
  readonly decisions: DecisionEntry[];
  readonly cursor?: string;
}

export const cursorGrammar = /^\d{1,8}\.\d{1,6}$/;

export async function findDecisions(segments: DecisionSegments, pattern: string, filter: DecisionFilter): Promise<DecisionPage> {
  const decisions: DecisionEntry[] = [];
  const [lastNumber = Number.POSITIVE_INFINITY, lastPosition = Number.POSITIVE_INFINITY] = filter.cursor?.split(".").map(Number) ?? [];
  for (const segment of await segments.list(pattern)) {
    if (segment.number > lastNumber) continue;
    const entries = await segments.read(segment);
    const end = segment.number === lastNumber ? Math.min(lastPosition, entries.length) : entries.length;
    for (let position = end - 1; position >= 0; position--) {
      const entry = entries[position] as DecisionEntry;
      if (!isMatch(entry, filter)) continue;
      if (decisions.length === filter.limit) return { decisions, cursor: `${segment.number}.${position + 1}` };
      decisions.push(entry);
    }
  }
  return { decisions };
}

function isMatch(entry: DecisionEntry, { outcome, run, since }: DecisionFilter): boolean {
  if (outcome !== undefined && !isDeepStrictEqual(entry.outcome, outcome)) return false;
  if (run !== undefined && entry.run !== run) return false;
  return since === undefined || Date.parse(entry.time) >= Date.parse(since);
}
