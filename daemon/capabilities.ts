/**
 * What a list of capabilities allows (DESIGN §4, invariant 7). Pure.
 *
 * A capability is one of
 * - a name pattern over commands and tools: `composition:*`, `agent:spawn`, `tool:compress`, `*`;
 * - `emit:PATTERN`, plain events whose name fits PATTERN: `emit:monitoring:*`.
 * A capability that covers the command `event:emit` covers every plain event.
 *
 * A target is what an act ends at: a command's name, `tool:NAME` for a tool, `emit:NAME` for a plain event. So emitting or
 * calling a command needs that command's capability, whatever way led to it. `undefined` in place of a list = not restricted.
 */
import { matches, meet } from "./names.ts";

export type Capabilities = readonly string[] | undefined;

const emitPrefix = "emit:";
const emitsPlainEvents = "event:emit";

/** The target of emitting the plain event `name`. */
export const emitTarget = (name: string): string => emitPrefix + name;

/** The target of calling the tool `name`. */
export const toolTarget = (name: string): string => `tool:${name}`;

/** Do the capabilities allow this target? */
export function covers(capabilities: Capabilities, target: string): boolean {
  return capabilities === undefined || capabilities.some((capability) => coversOne(capability, target));
}

/** The capabilities that allow exactly the targets which both lists allow. */
export function intersect(left: Capabilities, right: Capabilities): Capabilities {
  if (left === undefined) return right;
  if (right === undefined) return left;
  const common = new Set(left.flatMap((one) => right.flatMap((other) => meetCapabilities(one, other) ?? [])));
  return [...common].filter((one) => ![...common].some((other) => other !== one && meetCapabilities(one, other) === one)).sort();
}

function coversOne(capability: string, target: string): boolean {
  return meetCapabilities(capability, target) === target;
}

/**
 * The widest capability inside both, or undefined when they have nothing in common. A target is the narrowest capability,
 * so a capability covers a target when the two meet in the target itself.
 */
function meetCapabilities(left: string, right: string): string | undefined {
  const leftEvents = eventsOf(left);
  const rightEvents = eventsOf(right);
  if (leftEvents === undefined && rightEvents === undefined) return meet(left, right);
  if (leftEvents !== undefined && rightEvents !== undefined) {
    const events = meet(leftEvents, rightEvents);
    return events === undefined ? undefined : emitPrefix + events;
  }
  const [commands, events] = leftEvents === undefined ? [left, right] : [right, left];
  return matches(commands, emitsPlainEvents) ? events : undefined;
}

const eventsOf = (capability: string): string | undefined =>
  capability.startsWith(emitPrefix) ? capability.slice(emitPrefix.length) : undefined;
