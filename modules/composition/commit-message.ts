/** The message of a commit of decisions, and what it says to a reader: `git log --grep` and a restart use the same text. Pure. */
import type { CommitInfo, LogPosition } from "../../daemon/module.ts";
import type { DecisionEntry } from "./entries.ts";

const summaryLength = 72;

/** A decision on its way from the event log into git. */
export interface TrackedDecision {
  readonly pattern: string;
  readonly version: string;
  readonly entry: DecisionEntry;
}

/** A one-line summary, then one set of trailers per decision, and the place in the event log that the commit reaches. */
export function renderMessage(decisions: readonly TrackedDecision[], position: LogPosition): string {
  const trailers = decisions.flatMap(({ pattern, version, entry }) => [
    `Decision-Id: ${entry.id}`,
    ...(entry.run ? [`Run: ${entry.run}`] : []),
    ...(entry.agent ? [`Agent: ${entry.agent}`] : []),
    `Pattern: ${pattern}@${version}`,
  ]);
  return `${summarise(decisions)}\n\n${trailers.join("\n")}\nEvent: ${position.log}/${position.seq}\n`;
}

function summarise(decisions: readonly TrackedDecision[]): string {
  const patterns = new Set(decisions.map(({ pattern }) => pattern));
  const [first] = decisions;
  const [pattern] = patterns;
  if (decisions.length > 1) return `decisions: ${decisions.length} of ${patterns.size > 1 ? `${patterns.size} patterns` : pattern}`;
  const decision = first?.entry.decision;
  const text = (typeof decision === "string" ? decision : JSON.stringify(decision)).replace(/\s+/g, " ").trim();
  const summary = `decision(${pattern}): ${text}`;
  return summary.length > summaryLength ? `${summary.slice(0, summaryLength - 1).toWellFormed()}…` : summary;
}

/** The place in the event log that a commit of decisions reaches; undefined for any other commit. */
export function readPosition({ message }: CommitInfo): LogPosition | undefined {
  const parts = /^Event: (\S+)\/(\d+)$/m.exec(message);
  return parts ? { log: parts[1] as string, seq: Number(parts[2]) } : undefined;
}

/** The decisions that a commit records. */
export function readRecorded({ message }: CommitInfo): { id: string; pattern: string }[] {
  const pairs = message.matchAll(/^Decision-Id: (\S+)\n(?:(?:Run|Agent): .*\n)*Pattern: (\S+)@/gm);
  return [...pairs].map(([, id, pattern]) => ({ id: id as string, pattern: pattern as string }));
}
