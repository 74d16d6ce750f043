/** The statements of the language: keyword → how it is written. Shown as the suggestion beside a line that does not fit. */
export const blockGrammar = {
  FIRST: "FIRST:",
  THEN: "THEN:",
  FINALLY: "FINALLY:",
  STAGE: "STAGE name:",
  IF: "IF condition:",
  ELIF: "ELIF condition: (after the block of an IF)",
  ELSE: "ELSE: (after the block of an IF)",
  BRANCH: "BRANCH value: with blocks CASE value: and ELSE: in it",
  CASE: "CASE value: (in a BRANCH)",
  LOOP: "LOOP i FROM first TO last:",
  FOREACH: "FOREACH item IN list:",
  WHILE: "WHILE condition [MAX n]:",
  PARALLEL: "PARALLEL [MAX n]:",
  RETRY: "RETRY n TIMES [BACKOFF 1s]:",
  "ON ERROR": "ON ERROR: (after the statements that it guards)",
  RACE: "RACE:",
  WHEN: "WHEN phase-or-event:",
  ON: "ON event:",
  DURING: "DURING phase:",
  AFTER: "AFTER phase:",
} as const;

export const lineGrammar = {
  STATE: "STATE name = value",
  UPDATE: "UPDATE name[.path] = value, or UPDATE name SET path = value, …",
  APPEND: "APPEND name value",
  CALCULATE: "CALCULATE name = value",
  EMIT: 'EMIT "domain:event" [WITH {…}] [AFTER 30s] [AS name]',
  EVENT: "EVENT domain:event {…}",
  CALL: 'CALL "domain:command" [WITH {…}] [AS name]',
  RUN: 'RUN "tool" [WITH {…}] [AS name]',
  CHOOSE: "CHOOSE slot FROM candidates [FOR {…}] [AS name]",
  OUTCOME: "OUTCOME name reward: value",
  TRACK: 'TRACK decision: "…" [WITH confidence: value, …], or TRACK {…}',
  RETURN: "RETURN value",
  ABORT: 'ABORT "reason"',
  QUERY: "QUERY {…} [AS name]",
  SPAWN: 'SPAWN name WITH profile: "…", …, or SPAWN {…} [AS name]',
  SEND: "SEND agent value, or SEND {to, message} [AWAIT REPLY [WITHIN 30s] AS name]",
  TERMINATE: "TERMINATE agent",
  AWAIT: "AWAIT event-or-agent [WHERE condition] [WITHIN 30s] [AS name]",
  CONSIDER: 'CONSIDER "command" [WITH {…}] IF condition',
  ASK: 'ASK "question" [OPTIONS list] [WITHIN 1h] AS name',
  INCLUDE: 'INCLUDE "pattern" [IF condition]',
  COMBINE: 'COMBINE "pattern" WITH "pattern"',
} as const;

type BlockKeyword = keyof typeof blockGrammar;

const usages: Readonly<Record<string, string>> = { ...blockGrammar, ...lineGrammar };
const aliases: Readonly<Record<string, string>> = { "ELSE IF": "ELIF", "FOR EACH": "FOREACH" };

/** The keyword that one or two words stand for, in capitals. */
export function keywordOf(first: string, second: string | undefined): { keyword: string; words: 1 | 2 } | undefined {
  const both = `${first} ${second}`;
  const two = aliases[both] ?? both;
  if (Object.hasOwn(usages, two)) return { keyword: two, words: two === both && !both.includes(" ") ? 1 : 2 };
  return Object.hasOwn(usages, first) ? { keyword: first, words: 1 } : undefined;
}

export const isBlockKeyword = (keyword: string): keyword is BlockKeyword => Object.hasOwn(blockGrammar, keyword);

/** What to write instead: the usage of a keyword, or the keyword that a word was probably meant to be. */
export function suggestionFor(word: string): string | undefined {
  if (Object.hasOwn(usages, word)) return usages[word];
  const [nearest] = Object.keys(usages)
    .map((keyword) => ({ keyword, distance: editDistance(word, keyword) }))
    .filter(({ keyword, distance }) => distance <= (keyword.length > 4 ? 2 : 1))
    .sort((left, right) => left.distance - right.distance);
  return nearest && `${word}: did you mean ${nearest.keyword}?`;
}

function editDistance(left: string, right: string): number {
  if (Math.abs(left.length - right.length) > 2) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const next = [i];
    for (let j = 1; j <= right.length; j++) {
      const replaced = (row[j - 1] as number) + (left[i - 1] === right[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[right.length] as number;
}
