/** The fields that the daemon derives: `performance` from outcomes, `lineage` by fork and merge. Nobody else's word on them counts. Pure. */
import { isDeepStrictEqual } from "node:util";
import type { YamlIssue } from "../../daemon/yaml.ts";
import type { CompositionFields } from "./content.ts";
import { readYamlOnce } from "./yaml-memory.ts";

const derivedFields = ["performance", "lineage"] as const;

export type Lineage = CompositionFields["lineage"];

/** What a version of a file says, or does not say, of where it comes from. */
export interface KnownLineage {
  readonly lineage: Lineage;
  /** That wrote it. */
  readonly commit: string;
}

/** A text that is no file yet has no lineage. */
export const noLineage: readonly KnownLineage[] = [{ lineage: undefined, commit: "" }];

/**
 * Where a valid text says of derived fields what the daemon did not write, and what to do about it.
 * @param known the lineages that the file may have, newest first; none = nobody knows, so any will do
 */
export function findEdits(fields: CompositionFields, text: string, known: readonly KnownLineage[]): YamlIssue[] {
  const issueAt = (field: string, message: string) => ({ message, ...readYamlOnce(text).locate([field]), path: field });
  const issues: YamlIssue[] = [];
  if (fields.performance !== undefined) {
    issues.push(
      issueAt("performance", "is written by the daemon, which counts it from outcomes and keeps it in no file: remove it from this one"),
    );
  }
  const [newest] = known;
  if (newest && !known.some(({ lineage }) => isDeepStrictEqual(lineage, fields.lineage))) {
    const mend = newest.lineage ? `put back what the file says of it at commit ${newest.commit}` : "remove it";
    issues.push(issueAt("lineage", `is written by the daemon, when it forks and merges, and was edited by hand: ${mend}`));
  }
  return issues;
}

/** The fields without the edits: what the daemon itself goes by. */
export function withoutEdits(fields: CompositionFields, edits: readonly YamlIssue[], known: readonly KnownLineage[]): CompositionFields {
  const isEdited = (field: string) => edits.some(({ path }) => path === field);
  const { performance: _, lineage: said, ...own } = fields;
  const lineage = isEdited("lineage") ? known[0]?.lineage : said;
  return { ...own, ...(lineage && { lineage }) };
}

/** Does one text say anything else of a derived field than another? */
export const differsInDerived = (before: CompositionFields | undefined, after: CompositionFields): boolean =>
  derivedFields.some((field) => !isDeepStrictEqual(before?.[field], after[field]));

/** Does the message of a commit tell of the fork, or of the last merge, that this lineage tells of? Then the daemon wrote it. */
export function isToldBy(message: string, lineage: Lineage): boolean {
  const merges = lineage?.merges;
  const last: unknown = Array.isArray(merges) ? merges.at(-1) : undefined;
  const { source, commit } = (last ?? {}) as { source?: unknown; commit?: unknown };
  const trailers = message.split("\n").map((line) => line.trim());
  return trailers.includes(`Forked-From: ${lineage?.parent} ${lineage?.commit}`) || trailers.includes(`Merged-From: ${source} ${commit}`);
}
