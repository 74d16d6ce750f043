/**
 * Parsing what somebody wrote: every problem has its place and says what is expected there, also where several forms are
 * allowed or a field is not known. Pure.
 */
import type { z } from "zod";

export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

export type Parsed<Data> =
  | { readonly success: true; readonly data: Data }
  | { readonly success: false; readonly problems: readonly Problem[] };

export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): Parsed<z.output<Schema>> {
  const parsed = schema.safeParse(input, { error: describe });
  return parsed.success ? parsed : { success: false, problems: parsed.error.issues.flatMap((issue) => problemsOf(issue)) };
}

/** A problem as errors tell it. */
export interface Issue {
  /** Dotted. */
  readonly path: string;
  readonly message: string;
}

const mostIssues = 20;
const mostTold = 3;

/** The first of them. @param at where the input itself stands */
export const issuesOf = (problems: readonly Problem[], ...at: readonly string[]): Issue[] =>
  problems.slice(0, mostIssues).map(({ path, message }) => ({ path: [...at, ...path].map(String).join("."), message }));

/** In one sentence, for the message of an error. */
export const tellIssues = (issues: readonly Issue[]): string =>
  issues
    .slice(0, mostTold)
    .map(({ path, message }) => (path === "" ? message : `${path}: ${message}`))
    .join("; ");

/** Where zod's own message does not say what is expected. */
function describe(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === "invalid_format" && issue.format === "datetime") return "expected a time such as 2026-01-31T08:00:00Z";
  if (issue.code === "invalid_type" && issue.input === undefined) {
    return issue.expected === "nonoptional" ? "is required" : `is required: expected ${nameOf(issue.expected)}`;
  }
  if (issue.code === "invalid_type" && issue.expected === "record") return "expected object";
  if (issue.code === "too_small") return `expected ${issue.inclusive ? "at least" : "more than"} ${amountOf(issue.minimum, issue.origin)}`;
  if (issue.code === "too_big") return `expected ${issue.inclusive ? "at most" : "less than"} ${amountOf(issue.maximum, issue.origin)}`;
  if (issue.code !== "unrecognized_keys") return undefined;
  const { shape } = (issue.inst as z.core.$ZodObject)._zod.def;
  const fields = Object.keys(shape ?? {});
  return fields.length === 0 ? "is unknown: no field is expected here" : `is unknown: expected ${anyOf(fields)}`;
}

/** 3, "3 characters", "1 element" */
function amountOf(amount: number | bigint, origin: string): string {
  const unit = origin === "string" ? "character" : origin === "array" ? "element" : undefined;
  return unit === undefined ? String(amount) : `${amount} ${unit}${Number(amount) === 1 ? "" : "s"}`;
}

function problemsOf(issue: z.core.$ZodIssue, parent: readonly PropertyKey[] = []): Problem[] {
  const path = [...parent, ...issue.path];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({ path: [...path, key], message: issue.message }));
    case "invalid_key":
      return issue.issues.map(({ message }) => ({ path, message: `the name is not valid: ${message}` }));
    case "invalid_union":
      return issue.errors.length === 0 ? [{ path, message: issue.message }] : nearest(issue.errors, path);
    default:
      return [{ path, message: issue.message }];
  }
}

/** The problems of the form that the input was meant to have; of several, each on its own; if it is of none, what the forms are. */
function nearest(forms: readonly (readonly z.core.$ZodIssue[])[], path: readonly PropertyKey[]): Problem[] {
  const meant = forms.filter((issues) => expectedKinds(issues).length === 0).map((issues) => issues.flatMap((issue) => problemsOf(issue)));
  const fewest = Math.min(...meant.map(({ length }) => length));
  const nearby = meant.filter(({ length }) => length === fewest);
  const [only, another] = nearby;
  if (only === undefined) return [{ path, message: `expected ${anyOf([...new Set(forms.flatMap(expectedKinds))])}` }];
  if (another === undefined) return only.map((problem) => ({ ...problem, path: [...path, ...problem.path] }));
  return [{ path, message: [...new Set(nearby.map(tell))].join("; or ") }];
}

const tell = (problems: readonly Problem[]): string =>
  problems.map(({ path, message }) => [path.map(String).join("."), message].filter(Boolean).join(" ")).join(", ");

/** What the value would have to be instead; nothing if it is of the right kind, with problems of other sorts. */
function expectedKinds(issues: readonly z.core.$ZodIssue[]): string[] {
  const [first] = issues;
  if (first === undefined || first.path.length > 0) return [];
  if (first.code === "invalid_type") return [nameOf(first.expected)];
  if (first.code === "invalid_value") return first.values.map((value) => JSON.stringify(value));
  if (first.code !== "invalid_union") return [];
  const kinds = first.errors.map(expectedKinds);
  return kinds.some((some) => some.length === 0) ? [] : kinds.flat();
}

/** As JSON calls it. */
const nameOf = (type: string): string => (type === "record" ? "object" : type);

/** "a", "a or b", "a, b or c" */
const anyOf = (words: readonly string[]): string =>
  words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
