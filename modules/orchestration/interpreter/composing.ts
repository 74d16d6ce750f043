/** Patterns within patterns: INCLUDE and COMBINE. */
import { CodedError } from "../../../daemon/errors.ts";
import type { Reference } from "../contents.ts";
import { assertPlayable, type Pattern } from "../pattern.ts";
import { text } from "./fit.ts";
import { Returned } from "./listeners.ts";
import type { Family, Place } from "./place.ts";

/** Patterns that may include one another. */
const deepestInclusion = 8;

export const composing: Family<"include" | "combine"> = {
  async include({ pattern, condition, as }, at) {
    if (condition !== undefined && !(await at.holds(condition))) return undefined;
    at.keep(as, await include(text(await at.value(pattern), "the name of a pattern", at.line), at));
    return undefined;
  },
  async combine({ patterns, as }, at) {
    const results: unknown[] = [];
    for (const pattern of patterns) results.push(await include(text(await at.value(pattern), "the name of a pattern", at.line), at));
    at.keep(as, results);
    return undefined;
  },
};

/** Plays another pattern over the same variables; its own are set where the run has none. @returns what it RETURNs */
async function include(name: string, at: Place): Promise<unknown> {
  const { strand, run, line } = at;
  const chain = [...strand.patterns, name];
  if (strand.patterns.includes(name)) throw refused(`The pattern ${name} includes itself: ${chain.join(" → ")}.`, chain, line);
  if (chain.length > deepestInclusion)
    throw refused(`Patterns include one another deeper than ${deepestInclusion}: ${chain.join(" → ")}.`, chain, line);
  const { strategy, variables } = await load(name, at);
  for (const [variable, value] of Object.entries(variables)) {
    if (!Object.hasOwn(strand.scope.state, variable)) at.keep(variable, value);
  }
  try {
    return (await run.play(strategy.statements, { ...strand, patterns: chain }))?.result;
  } catch (error) {
    if (error instanceof Returned) return error.result;
    throw error;
  }
}

/** A pattern that cannot be had is an error of this step, the same in a replay. */
async function load(name: string, at: Place): Promise<Pattern> {
  const { patterns } = at.run.options;
  let pattern: Pattern | undefined;
  const noted = await at.run.steps.value(at.strand.thread, at.line, async () => {
    const found = await patterns(name);
    assertPlayable(found);
    pattern = found;
    return { pattern: name, version: found.version, commit: found.commit, definition: found.definition };
  });
  return pattern ?? patterns(name, (noted as { definition?: Reference }).definition);
}

const refused = (message: string, chain: readonly string[], line: number) => new CodedError("PATTERN_INVALID", message, { chain, line });
