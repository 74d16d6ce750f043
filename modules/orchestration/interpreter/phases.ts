/** Phases and what refers to them: FIRST, THEN, FINALLY, STAGE; WHEN, DURING, AFTER; and ON, which listens to events. */
import type { Statement } from "../language/ast.ts";
import { phaseKey } from "../language/phases.ts";
import { type Listeners, listen } from "./listeners.ts";
import type { Completion, Family, Place } from "./place.ts";

type PhaseStatement = Extract<Statement, { kind: "phase" }>;

export const phases: Family<"group" | "phase" | "on"> = {
  async group({ keyword, name, body }, at) {
    const { listeners } = at.strand;
    const { begun, ended, open } = listeners;
    const key = phaseKey(name ?? keyword);
    // A phase within itself begins nothing: what refers to it would play for ever.
    if (open.has(key)) return at.play(body);
    const referring = (word: PhaseStatement["keyword"]) => watchersOf(listeners, key).filter((one) => one.keyword === word);
    open.add(key);
    begun.add(key);
    try {
      const before = await playEach(referring("WHEN"), at);
      if (before !== undefined) return before;
      // What DURING listens to ends with the phase, since it is part of the same block.
      const completion = await at.play([...referring("DURING").flatMap((one) => one.body), ...body]);
      if (completion !== undefined) return completion;
      ended.add(key);
      return await playEach(referring("AFTER"), at);
    } finally {
      open.delete(key);
    }
  },
  async phase(statement, at) {
    const { listeners } = at.strand;
    listeners.phases.push(statement);
    const key = phaseKey(statement.phase);
    const isNow = { WHEN: listeners.begun, DURING: listeners.open, AFTER: listeners.ended }[statement.keyword].has(key);
    return isNow ? at.play(statement.body) : undefined;
  },
  async on(statement, at) {
    listen(statement, at);
    return undefined;
  },
};

async function playEach(statements: readonly PhaseStatement[], at: Place): Promise<Completion> {
  for (const { body } of statements) {
    const completion = await at.play(body);
    if (completion !== undefined) return completion;
  }
  return undefined;
}

/** Outermost block first, each in the order of the text. */
function watchersOf({ phases: own, around }: Listeners, key: string): PhaseStatement[] {
  return [...(around ? watchersOf(around, key) : []), ...own.filter(({ phase }) => phaseKey(phase) === key)];
}
