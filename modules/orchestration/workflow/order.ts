/** Which step has to wait for which. Pure. */
import type { Step } from "./schema.ts";
import { expressionsIn, surelyRead } from "./values.ts";

/** Step → those that must have been done before, in the order of the steps. */
export type Dependencies = ReadonlyMap<string, readonly string[]>;

/** Those that are named, and those whose variables are surely read. */
export function dependenciesOf(steps: readonly Step[]): Dependencies {
  return new Map(
    steps.map(({ id, params, when, depends_on }) => {
      const sources = [...expressionsIn(params, [])].map(({ source }) => source).concat(when ?? []);
      const read = new Set(sources.flatMap(surelyRead));
      read.delete(id);
      return [id, steps.map((other) => other.id).filter((other) => depends_on.includes(other) || read.has(other))];
    }),
  );
}

/** Each after those that it depends on; otherwise as they are written. Of a cycle, only what does not lead to it. */
export function inOrder(steps: readonly Step[], dependencies: Dependencies): Step[] {
  const placed = new Map<string, Step>();
  const waiting = new Set(steps);
  for (let next: Step | undefined = steps[0]; next !== undefined; ) {
    next = [...waiting].find(({ id }) => dependencies.get(id)?.every((other) => placed.has(other)));
    if (next === undefined) break;
    placed.set(next.id, next);
    waiting.delete(next);
  }
  return [...placed.values()];
}

/** The steps of a cycle, of which each depends on the next, the first one again at the end; undefined if there is none. */
export function cycleIn(steps: readonly Step[], dependencies: Dependencies): string[] | undefined {
  const placed = new Set(inOrder(steps, dependencies).map(({ id }) => id));
  let id = steps.find((step) => !placed.has(step.id))?.id;
  const chain: string[] = [];
  while (id !== undefined && !chain.includes(id)) {
    chain.push(id);
    id = dependencies.get(id)?.find((other) => !placed.has(other));
  }
  return id === undefined ? undefined : [...chain.slice(chain.indexOf(id)), id];
}
