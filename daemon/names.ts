/**
 * Names of commands and events, and patterns over them. Pure.
 *
 * A name is `domain:action`, each part lower case letters, digits and `_`, starting with a letter. In a pattern either part
 * may be `*`; `*` alone means `*:*`.
 */
import { CodedError } from "./errors.ts";

const part = "[a-z][a-z0-9_]{0,63}";
const nameGrammar = new RegExp(`^${part}:${part}$`);
const patternGrammar = new RegExp(`^(?:\\*|(?:${part}|\\*):(?:${part}|\\*))$`);

export const isName = (text: string): boolean => nameGrammar.test(text);
export const isPattern = (text: string): boolean => patternGrammar.test(text);

/** @throws CodedError NAME_INVALID */
export function assertName(text: string): string {
  if (isName(text)) return text;
  throw new CodedError(
    "NAME_INVALID",
    `"${text.slice(0, 100)}" is not a name: expected domain:action in lower case letters, digits and _`,
    {
      name: text.slice(0, 100),
    },
  );
}

export const domainOf = (name: string): string => name.slice(0, name.indexOf(":"));

const compositionGrammar = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
const deviceNames = /^(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)/;

/** A name of a composition: safe as a file name on every system, so no `..`, no dot or `.lock` at the end, no device name. */
export const isCompositionName = (text: string): boolean =>
  compositionGrammar.test(text) && !text.includes("..") && !text.endsWith(".") && !text.endsWith(".lock") && !deviceNames.test(text);

/** The pattern of the names that match both; undefined when there can be none. A name is a pattern that only it matches. */
export function meet(left: string, right: string): string | undefined {
  if (left === right) return left;
  const [leftDomain, leftAction] = parts(left);
  const [rightDomain, rightAction] = parts(right);
  const domain = meetParts(leftDomain, rightDomain);
  const action = meetParts(leftAction, rightAction);
  if (domain === undefined || action === undefined) return undefined;
  return domain === "*" && action === "*" ? "*" : `${domain}:${action}`;
}

/** Does the pattern cover the name, or every name that another pattern covers? */
export function matches(pattern: string, name: string): boolean {
  if (pattern === name || pattern === "*") return true;
  const [patternDomain, patternAction] = parts(pattern);
  const [domain, action] = parts(name);
  return meetParts(patternDomain, domain) === domain && meetParts(patternAction, action) === action;
}

/** Can any name match both patterns? */
export const overlap = (left: string, right: string): boolean => meet(left, right) !== undefined;

/** The fewest patterns that cover the given ones without overlapping each other. */
export function withoutOverlap(patterns: readonly string[]): string[] {
  const kept = patterns.filter((pattern, index) => {
    const covers = (other: string, at: number) => at !== index && matches(other, pattern) && (!matches(pattern, other) || at < index);
    return !patterns.some(covers);
  });
  const crossing = kept.some((pattern, index) => kept.slice(index + 1).some((other) => overlap(pattern, other)));
  return crossing ? ["*"] : kept;
}

function meetParts(left: string, right: string): string | undefined {
  if (left === right || right === "*") return left;
  return left === "*" ? right : undefined;
}

function parts(pattern: string): [domain: string, action: string] {
  if (pattern === "*") return ["*", "*"];
  const colon = pattern.indexOf(":");
  return [pattern.slice(0, colon), pattern.slice(colon + 1)];
}
