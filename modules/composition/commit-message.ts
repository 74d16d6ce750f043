/** The message of a commit of decisions, and what it says to a reader: `git log --grep` and a restart use the same text. Pure. */
import type { CommitInfo, LogPosition } from "../../daemon/module.ts";
import type { TrackedDecision } from "./entries.ts";

const summaryLength = 72;
const outcomeLength = 200;

/** A one-line summary, then one set of trailers per decision, and the place in the event log that the commit reaches. */
export function renderMessage(decisions: readonly TrackedDecision[], position: LogPosition): string {
  const trailers = decisions.flatMap(({ pattern, version, entry, resolves }) => [
    `Decision-Id: ${entry.id}`,
    ...(entry.run ? [`Run: ${entry.run}`] : []),
    ...(entry.agent ? [`Agent: ${entry.agent}`] : []),
    `Pattern: ${pattern}@${version}`,
    ...(resolves ? [`Outcome: ${cut(JSON.stringify(entry.outcome), outcomeLength)}`] : []),
  ]);
  return `${summarise(decisions)}\n\n${trailers.join("\n")}\nEvent: ${position.log}/${position.seq}\n`;
}

function summarise(decisions: readonly TrackedDecision[]): string {
  const patterns = new Set(decisions.map(({ pattern }) => pattern));
  const [first] = decisions;
  const [pattern] = patterns;
  if (decisions.length > 1) return `decisions: ${decisions.length} of ${patterns.size > 1 ? `${patterns.size} patterns` : pattern}`;
  const said = first?.resolves ? first.entry.outcome : first?.entry.decision;
  const text = (typeof said === "string" ? said : JSON.stringify(said)).replace(/\s+/g, " ").trim();
  return cut(`decision(${pattern}): ${first?.resolves ? "outcome " : ""}${text}`, summaryLength);
}

const cut = (text: string, length: number): string => (text.length > length ? `${text.slice(0, length - 1).toWellFormed()}…` : text);

/** What a commit of decisions records, and the place in the event log that it reaches. */
export interface DecisionCommit {
  readonly info: CommitInfo;
  readonly position: LogPosition;
  readonly decisions: { id: string; pattern: string; resolved?: true }[];
}

const grammar =
  /^decisions?[(:][^\n]*\n\n((?:Decision-Id: \S+\n(?:Run: [^\n]*\n)?(?:Agent: [^\n]*\n)?Pattern: \S+\n(?:Outcome: [^\n]*\n)?)+)Event: (\S+)\/(\d+)\n?$/;

/** Undefined for a message that is not, as a whole, one of `renderMessage`. */
export function readMessage(info: CommitInfo): DecisionCommit | undefined {
  const [, trailers = "", log = "", seq] = grammar.exec(info.message) ?? [];
  if (seq === undefined) return undefined;
  const pairs = trailers.matchAll(/^Decision-Id: (\S+)\n(?:(?:Run|Agent): [^\n]*\n)*Pattern: (\S+)@\S*\n(Outcome: )?/gm);
  const decisions = [...pairs].map(([, id = "", pattern = "", outcome]) => ({ id, pattern, ...(outcome && { resolved: true as const }) }));
  return { info, position: { log, seq: Number(seq) }, decisions };
}

/** Does a text hold a trailer that the daemon alone writes? */
export const hasReservedTrailer = (text: string): boolean =>
  /^\s*(?:Event|Decision-Id|Run|Agent|Pattern|Forked-From|Merged-From|Evidence)\s*:/im.test(text);
