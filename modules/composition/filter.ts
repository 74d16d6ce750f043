/** What a search for compositions may ask: requirements that each really filter. Pure. */
import { z } from "zod";
import { covers } from "../../daemon/capabilities.ts";
import { compositionTypes } from "./content.ts";
import { isPath, parsePath, valueAt } from "./field-path.ts";

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const ordered = z.union([z.string(), z.number()]);
const operators = z
  .strictObject({
    "=": scalar.optional(),
    "!=": scalar.optional(),
    ">": ordered.optional(),
    ">=": ordered.optional(),
    "<": ordered.optional(),
    "<=": ordered.optional(),
    in: z.array(scalar).min(1).optional(),
    contains: scalar.optional().describe("an element of the list, or a part of the text"),
    exists: z.boolean().optional(),
  })
  .refine((condition) => Object.keys(condition).length > 0, {
    error: "expected at least one operator",
    when: ({ issues }) => issues.length === 0,
  });
type Operators = z.output<typeof operators>;

export const filterFields = {
  type: z.enum(compositionTypes).optional(),
  tags: z.array(z.string()).optional().describe("it has all of these"),
  capabilities: z.array(z.string()).optional().describe("its capabilities allow all of these"),
  metadata_filter: z
    .record(z.string().refine(isPath, "expected the path of a field, such as a.b[2].c"), z.union([scalar, operators]))
    .optional()
    .describe('dotted path → value, or {"> ≥ < ≤ = !=, in, contains, exists": value}; all must hold'),
};
const filter = z.strictObject(filterFields);
export type Filter = z.output<typeof filter>;

type Fields = Readonly<Record<string, unknown>>;

/** Does a composition meet all requirements? @param fields its own, and what the daemon derives */
export function meets(fields: Fields, { type, tags = [], capabilities = [], metadata_filter = {} }: Filter): boolean {
  if (type !== undefined && fields.type !== type) return false;
  if (tags.length > 0 && !tags.every((tag) => listOf(fields.tags).includes(tag))) return false;
  if (capabilities.length > 0 && !capabilities.every((target) => covers(listOf(fields.capabilities), target))) return false;
  return Object.entries(metadata_filter).every(([path, condition]) => holds(valueAt(fields, parsePath(path)), condition, path));
}

function holds(value: unknown, condition: z.output<typeof scalar> | Operators, path: string): boolean {
  if (typeof condition !== "object" || condition === null) return value === condition;
  const compare = path === "version" ? compareVersions : compareValues;
  const tests: { [Name in keyof Operators]-?: (operand: NonNullable<Operators[Name]> | null) => boolean } = {
    "=": (operand) => value === operand,
    "!=": (operand) => value !== operand,
    ">": (operand) => compare(value, operand) > 0,
    ">=": (operand) => compare(value, operand) >= 0,
    "<": (operand) => compare(value, operand) < 0,
    "<=": (operand) => compare(value, operand) <= 0,
    in: (operand) => (operand ?? []).includes(value as string),
    contains: (operand) => (typeof value === "string" ? value.includes(String(operand)) : listOf(value).includes(operand as string)),
    exists: (operand) => (value !== undefined) === operand,
  };
  return Object.entries(condition).every(([name, operand]) => operand === undefined || tests[name as keyof Operators](operand as never));
}

/** NaN, which no comparison holds for, between values of different kinds. */
function compareValues(left: unknown, right: unknown): number {
  if (typeof left === "number" && typeof right === "number") return left - right;
  if (typeof left !== "string" || typeof right !== "string") return Number.NaN;
  return left < right ? -1 : Number(left > right);
}

/** The precedence of semantic versions; a part of digits alone counts as a number. */
export function compareVersions(left: unknown, right: unknown): number {
  if (typeof left !== "string" || typeof right !== "string") return Number.NaN;
  const [first, second] = [left, right].map((version) => {
    const [core = "", ...rest] = (version.split("+", 1)[0] as string).split("-");
    return { core: core.split("."), label: rest.length > 0 ? rest.join("-").split(".") : undefined };
  }) as [VersionParts, VersionParts];
  const core = compareParts(first.core, second.core);
  if (core !== 0 || first.label === second.label) return core;
  if (!first.label || !second.label) return first.label ? -1 : 1;
  return compareParts(first.label, second.label);
}

interface VersionParts {
  readonly core: string[];
  readonly label: string[] | undefined;
}

function compareParts(left: readonly string[], right: readonly string[]): number {
  for (let place = 0; place < Math.max(left.length, right.length); place++) {
    const [one, other] = [left[place], right[place]];
    if (one === undefined || other === undefined) return one === undefined ? -1 : 1;
    if (one === other) continue;
    const [isNumber, isOtherNumber] = [one, other].map((part) => /^\d+$/.test(part));
    if (isNumber && isOtherNumber) return Number(one) - Number(other);
    if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
    return one < other ? -1 : 1;
  }
  return 0;
}

const listOf = (value: unknown): string[] => (Array.isArray(value) ? value : []);
