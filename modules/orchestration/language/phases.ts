/** The phases of a strategy, to which WHEN, DURING and AFTER refer: FIRST, THEN, FINALLY, and each STAGE by its name. */
import type { Line } from "./lines.ts";

/** Key → the keyword that opens it; DURING only where no STAGE does. */
export type Phases = ReadonlyMap<string, string>;

/** What names of the same phase have in common: "Warm up", warm_up. */
export const phaseKey = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replaceAll(/[\s_-]+/g, "_");

/** All phases that the lines, and those below them, open. */
export function phasesIn(lines: readonly Line[], found: Map<string, string> = new Map()): Phases {
  for (const { text, tokens, children } of lines) {
    const [first, second] = tokens;
    const keyword = first?.text.toUpperCase() ?? "";
    if (["FIRST", "THEN", "FINALLY"].includes(keyword)) found.set(phaseKey(keyword), keyword);
    if ((keyword === "STAGE" || keyword === "DURING") && second !== undefined) {
      const key = phaseKey(titleIn(text.slice(second.start)));
      if (keyword === "STAGE" || !found.has(key)) found.set(key, keyword);
    }
    phasesIn(children, found);
  }
  return found;
}

const titleIn = (header: string): string => (/^["'](.*?)["']/.exec(header) ?? /^([^:]*)/.exec(header))?.[1] ?? "";
