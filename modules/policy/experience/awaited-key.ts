/** Under what a decision waits for the event that tells its outcome. */
import type { OutcomeSource } from "../schema.ts";

/** Undefined when nothing can tell it yet. @param run in which the selection was asked for */
export function awaitedKey({ event, id }: OutcomeSource, choice: string, run: string | undefined): string | undefined {
  if (id !== undefined || run === undefined) return id;
  return event === "tool" ? toolKey(run, choice) : event === "run" ? run : undefined;
}

/** The next call of a tool in a run. */
export const toolKey = (run: string, tool: string): string => `${run} ${tool}`;
