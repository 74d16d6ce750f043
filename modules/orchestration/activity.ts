/** What a run does at present. */
import type { Effect } from "./interpreter/effects.ts";
import type { Doing } from "./interpreter/steps.ts";
import type { DoingNow } from "./schema.ts";

export interface Activity {
  /** @returns to be called when the step has ended */
  begin(doing: Doing, waitsForHuman?: boolean): () => void;
  /** The step that is under way waits for a human. @returns to be called when it does no more */
  waitForHuman(step: string): () => void;
  now(): DoingNow[];
}

/** @param onChange told whether the run waits for humans alone */
export function createActivity(onChange: (waitsForHumans: boolean) => void): Activity {
  const current = new Map<string, { readonly doing: Doing; readonly waitsForHuman: boolean; readonly since: number }>();
  let humans = 0;

  function begin(doing: Doing, waitsForHuman = isForHuman(doing.effect)): () => void {
    const entry = { doing, waitsForHuman, since: Date.now() };
    const before = current.get(doing.step);
    current.set(doing.step, entry);
    if (waitsForHuman) humans++;
    if (humans > 0) onChange(humans === current.size);
    return () => {
      if (before === undefined) current.delete(doing.step);
      else current.set(doing.step, before);
      if (waitsForHuman) humans--;
      onChange(humans > 0 && humans === current.size);
    };
  }

  return {
    begin,
    waitForHuman(step) {
      const underWay = current.get(step);
      return underWay === undefined ? () => {} : begin(underWay.doing, true);
    },
    now: () =>
      [...current.values()].map(({ doing: { step, line, effect }, waitsForHuman, since }) => ({
        step,
        line,
        what: waitsForHuman && effect.kind !== "await" ? `AWAIT a human's decision on ${describe(effect)}` : describe(effect),
        since: new Date(since).toISOString(),
      })),
  };
}

const isForHuman = (effect: Effect): boolean => effect.kind === "await" && effect.for.of === "decision";

/** The statement in short. */
export function describe(effect: Effect): string {
  switch (effect.kind) {
    case "emit":
      return `EMIT ${effect.event}`;
    case "call":
      return `CALL ${effect.command}`;
    case "consider":
      return `CONSIDER ${effect.command}`;
    case "run":
      return `RUN ${effect.tool}`;
    case "choose":
      return `CHOOSE ${effect.slot}`;
    case "send":
      return `SEND to ${effect.to.join(", ")}`;
    case "members":
      return `the agents of the group ${effect.group}`;
    case "terminate":
      return `TERMINATE ${effect.agents.join(", ")}`;
    case "ask":
      return `ASK ${effect.question}`;
    case "await":
      return `AWAIT ${awaited(effect)}${effect.until === undefined ? "" : ` until ${effect.until}`}`;
    case "judge":
      return `a judgement: ${effect.text}`;
    case "sleep":
      return `a pause of ${effect.milliseconds / 1000} s`;
    default:
      return effect.kind.toUpperCase();
  }
}

function awaited({ for: wanted }: Extract<Effect, { kind: "await" }>): string {
  switch (wanted.of) {
    case "events":
      return wanted.event;
    case "agents":
      return `the end of ${wanted.agents.join(", ")}`;
    case "replies":
      return `replies from ${wanted.to.map(({ to }) => to).join(", ")}`;
    case "decision":
      return `the decision of a human on ${wanted.id}`;
  }
}
