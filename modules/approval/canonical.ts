/** The hash that a decision is bound to. Pure. */
import { createHash } from "node:crypto";

/** SHA-256 of the action as canonical JSON (RFC 8785), in hexadecimal. */
export const hashOf = (action: unknown): string => createHash("sha256").update(canonical(action)).digest("hex");

/**
 * JSON in which equal values have equal texts: keys sorted by their UTF-16 code units, no spaces; numbers and strings as
 * ECMAScript writes them, which is what RFC 8785 asks for.
 */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item ?? null)).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`);
  return `{${fields.join(",")}}`;
}
