/**
 * The causal tree around one event: from its oldest known ancestor down to everything that followed. Of a tree too large to be
 * told whole, the way down to the event is always part. Pure but for its reads.
 */

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
  const path = (await withAncestors(start, reads)).map(nodeOf);
  const root = path[0] as EventTreeNode;
  for (const [index, node] of path.slice(1).entries()) path[index]?.children.push(node);
  const seen = new Set(path.map((node) => node.id));
  const open = [root];
  for (let node = open.shift(); node !== undefined && seen.size < maxNodes; node = open.shift()) {
    for (const event of await reads.causedBy(node.id, maxNodes)) {
      if (seen.size >= maxNodes) break;
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      node.children.push(nodeOf(event));
    }
    node.children.sort((left, right) => left.seq - right.seq);
    open.push(...node.children);
  }
  return { root, truncated: seen.size >= maxNodes };
}

/** Oldest first. */
async function withAncestors(start: EventRecord, reads: TraceReads): Promise<EventRecord[]> {
  const path = [start];
  const seen = new Set([start.id]);
  for (let event = start; event.causation !== undefined; ) {
    const parent = await reads.findById(event.causation);
    if (parent === undefined || seen.has(parent.id)) break;
    seen.add(parent.id);
    path.unshift(parent);
    event = parent;
  }
  return path;
}

const nodeOf = ({ id, type, time, source, seq }: EventRecord): EventTreeNode => ({ id, type, time, source, seq, children: [] });
