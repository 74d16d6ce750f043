/** The causal tree around one event: from its oldest known ancestor down to everything that followed. Pure but for its reads. */

import type { EventRecord } from "../module.ts";
import type { EventTree, EventTreeNode } from "./contract.ts";

export interface TraceReads {
  findById(id: string): Promise<EventRecord | undefined>;
  /** Events with this causation, in log order, at most `limit`. */
  causedBy(causation: string, limit: number): Promise<EventRecord[]>;
}

const maxNodes = 1_000;

/** @returns undefined when no event has this id */
export async function traceOf(id: string, reads: TraceReads): Promise<EventTree | undefined> {
  const start = await reads.findById(id);
  if (start === undefined) return undefined;
  const root = nodeOf(await oldestAncestor(start, reads));
  const open = [root];
  const seen = new Set([root.id]);
  for (let node = open.shift(); node !== undefined && seen.size < maxNodes; node = open.shift()) {
    for (const event of await reads.causedBy(node.id, maxNodes - seen.size + 1)) {
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      const child = nodeOf(event);
      node.children.push(child);
      open.push(child);
    }
  }
  return { root, truncated: seen.size >= maxNodes };
}

async function oldestAncestor(start: EventRecord, reads: TraceReads): Promise<EventRecord> {
  const seen = new Set<string>();
  let event = start;
  while (event.causation !== undefined && !seen.has(event.id)) {
    seen.add(event.id);
    const parent = await reads.findById(event.causation);
    if (parent === undefined) break;
    event = parent;
  }
  return event;
}

const nodeOf = ({ id, type, time, source, seq }: EventRecord): EventTreeNode => ({ id, type, time, source, seq, children: [] });
