/** Decisions as YAML: how an entry is written and how a file of them is read. Pure. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { EventRecord } from "../../daemon/module.ts";
import { issuesOf, parseInput, tellIssues } from "../../daemon/parse-input.ts";
import { readYaml } from "../../daemon/yaml.ts";
import { editYaml } from "./yaml-edit.ts";

/** What is known of a decision; the data of `composition:decision_tracked`, and an entry of the decisions file. */
export const decisionEntry = z.looseObject({
  id: z.string(),
  time: z.string().describe("RFC 3339"),
  decision: z.unknown(),
  context: z.unknown().optional(),
  options: z.array(z.unknown()).optional(),
  outcome: z.unknown().optional(),
  confidence: z.number().optional(),
  reason: z.string().optional(),
  agent: z.string().optional(),
  run: z.string().optional(),
});
export type DecisionEntry = z.output<typeof decisionEntry>;

/** The outcome of a decision that was tracked without one; of the data of `composition:decision_resolved`. */
export const resolution = z.object({
  id: z.string(),
  time: z.string().describe("RFC 3339"),
  outcome: z.unknown(),
  reason: z.string().optional(),
  agent: z.string().optional(),
  run: z.string().optional(),
});

const fieldOrder = ["id", "time", "decision", "context", "options", "outcome", "confidence", "reason", "agent", "run"];
const wordsGrammar = /^[A-Za-z_](?:[A-Za-z0-9_./ -]*[A-Za-z0-9_./-])?$/;
const reservedWords = /^(?:true|false|null|yes|no|on|off|y|n)$/i;
const keyGrammar = /^("(?:[^"\\]|\\.)*"):(.*)$/;
const lineWidth = 100;

/** One element of the YAML sequence, ending with a newline; one field a line, so that `git blame` and `git diff` can tell. */
export function renderEntry(entry: DecisionEntry): string {
  const fields = fieldOrder.filter((field) => entry[field] !== undefined);
  return fields.map((field, position) => `${position === 0 ? "- " : "  "}${field}:${renderValue(entry[field], 4)}`).join("");
}

/** The entries of a decisions file. @throws CodedError COMPOSITION_INVALID */
export function readEntries(text: string): DecisionEntry[] {
  const own = splitEntries(text).map(readRendered);
  if (own.every((entry) => entry !== undefined)) return own;
  const { data } = readYaml(text);
  const parsed = parseInput(z.array(decisionEntry), data ?? []);
  if (parsed.success) return parsed.data;
  const issues = issuesOf(parsed.problems).map((issue) => ({ ...issue, line: 1, column: 1 }));
  throw new CodedError("COMPOSITION_INVALID", `not a sequence of decisions: ${tellIssues(issues)}`, { issues });
}

/** The texts of a file's entries; of one that is written by hand perhaps only parts of it. */
export const splitEntries = (text: string): string[] => (text === "" ? [] : text.split(/^(?=- )/m));

/** The text of a decisions file in which one entry has its outcome; all else keeps its bytes. */
export function withOutcome(text: string, id: string, outcome: unknown): string {
  const parts = splitEntries(text);
  const rendered = parts.findIndex((part) => readRendered(part)?.id === id);
  if (rendered >= 0) {
    const entry = readRendered(parts[rendered] as string) as DecisionEntry;
    return parts.with(rendered, renderEntry({ ...entry, outcome })).join("");
  }
  const index = readEntries(text).findIndex((entry) => entry.id === id);
  return editYaml(text, [{ path: [index, "outcome"], value: outcome }]);
}

/** A decision, or its outcome, on its way from the event log into git. */
export interface TrackedDecision {
  readonly pattern: string;
  readonly version: string;
  /** Of an outcome: the decision's id, and what is said of the outcome. */
  readonly entry: DecisionEntry;
  /** It is the outcome of a decision that was tracked without one. */
  readonly resolves?: true;
}

/** What an event `composition:decision_tracked` says. */
export function trackedBy({ data }: Pick<EventRecord, "data">): TrackedDecision {
  const { pattern, version, ...fields } = data as { pattern: string; version: string };
  return { pattern, version, entry: decisionEntry.parse(fields) };
}

/** A decision waits for its outcome. */
export const isPending = ({ outcome }: DecisionEntry): boolean => outcome === undefined || outcome === null;

/** The entry of a text that `renderEntry` wrote, far faster than as YAML; undefined for any other text. */
export function readRendered(text: string): DecisionEntry | undefined {
  const lines = text.split("\n");
  const fields: Record<string, unknown> = {};
  try {
    for (const reader = { lines, place: 0 }; reader.place < lines.length - 1; ) {
      const [, name = "", value = ""] = /^(?:- | {2})([a-z]+):(.*)$/.exec(lines[reader.place++] ?? "") ?? [];
      fields[name] = readValue(reader, value, 4);
    }
  } catch {
    return undefined;
  }
  const entry = fields as DecisionEntry;
  return typeof entry.id === "string" && typeof entry.time === "string" && renderEntry(entry) === text ? entry : undefined;
}

/** The reverse of `renderValue`; of what that did not write it makes anything. */
function readValue(reader: { readonly lines: readonly string[]; place: number }, inline: string, indent: number): unknown {
  const text = inline.slice(1);
  if (text !== "") return wordsGrammar.test(text) && !reservedWords.test(text) ? text : JSON.parse(text);
  const margin = " ".repeat(indent);
  const next = () => (reader.lines[reader.place]?.startsWith(margin) ? reader.lines[reader.place]?.slice(indent) : undefined);
  if (next()?.startsWith("-")) {
    const items: unknown[] = [];
    for (let line = next(); line?.startsWith("- "); line = next()) {
      reader.place++;
      items.push(readValue(reader, line.slice(1), 12));
    }
    return items;
  }
  const object: Record<string, unknown> = {};
  for (let parts = keyGrammar.exec(next() ?? ""); parts; parts = keyGrammar.exec(next() ?? "")) {
    reader.place++;
    object[JSON.parse(parts[1] as string)] = readValue(reader, parts[2] as string, indent + 2);
  }
  return object;
}

/** A value after its key: on the same line if it is short, else one line per element of its first levels. */
function renderValue(value: unknown, indent: number): string {
  const inline = typeof value === "string" && wordsGrammar.test(value) && !reservedWords.test(value) ? value : JSON.stringify(value);
  if (typeof value !== "object" || value === null || inline.length <= lineWidth || indent > 8) return ` ${inline}\n`;
  const margin = " ".repeat(indent);
  const lines = Array.isArray(value)
    ? value.map((item) => `${margin}-${renderValue(item, 12)}`)
    : Object.entries(value).map(([key, item]) => `${margin}${JSON.stringify(key)}:${renderValue(item, indent + 2)}`);
  return `\n${lines.join("")}`;
}

const limits = { bytes: 32 * 1024, depth: 24, keyLength: 200 };

/** Holds a decision to what a file can bear. @throws CodedError REQUEST_INVALID */
export function assertRecordable(value: unknown, bytes = limits.bytes): void {
  const isTooLarge = Buffer.byteLength(JSON.stringify(value)) > bytes;
  const message = findExcess(value, 0) ?? (isTooLarge ? `is larger than ${bytes / 1024} KB` : undefined);
  if (message) throw new CodedError("REQUEST_INVALID", `The decision ${message}`, { issues: [{ message, path: [] }] });
}

function findExcess(value: unknown, depth: number): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (depth >= limits.depth) return `is nested deeper than ${limits.depth} levels`;
  for (const [key, item] of Object.entries(value)) {
    if (key.length > limits.keyLength) return `has a key longer than ${limits.keyLength} characters`;
    if (key === "__proto__") return 'has the key "__proto__"';
    const excess = findExcess(item, depth + 1);
    if (excess) return excess;
  }
  return undefined;
}
