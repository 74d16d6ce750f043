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

/** Does the pattern cover the name? */
export function matches(pattern: string, name: string): boolean {
  if (pattern === name || pattern === "*" || pattern === "*:*") return true;
  const [patternDomain, patternAction] = pattern.split(":");
  const [domain, action] = name.split(":");
  return (patternDomain === "*" || patternDomain === domain) && (patternAction === "*" || patternAction === action);
}
