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
  const common = new Set(left.flatMap((one) => right.flatMap((other) => meet(one, other) ?? [])));
  return [...common].filter((one) => ![...common].some((other) => other !== one && meet(one, other) === one)).sort();
}

function coversOne(capability: string, target: string): boolean {
  return meet(capability, target) === target;
}

/**
 * The widest capability inside both, or undefined when they have nothing in common. A target is the narrowest capability,
 * so a capability covers a target when the two meet in the target itself.
 */
function meet(left: string, right: string): string | undefined {
  const leftEvents = eventsOf(left);
  const rightEvents = eventsOf(right);
  if (leftEvents === undefined && rightEvents === undefined) return meetNames(left, right);
  if (leftEvents !== undefined && rightEvents !== undefined) {
    const events = meetNames(leftEvents, rightEvents);
    return events === undefined ? undefined : emitPrefix + events;
  }
  const [commands, events] = leftEvents === undefined ? [left, right] : [right, left];
  return meetNames(commands, emitsPlainEvents) === emitsPlainEvents ? events : undefined;
}

const eventsOf = (capability: string): string | undefined =>
  capability.startsWith(emitPrefix) ? capability.slice(emitPrefix.length) : undefined;

function meetNames(left: string, right: string): string | undefined {
  const [leftDomain, leftAction] = split(left);
  const [rightDomain, rightAction] = split(right);
  const domain = meetParts(leftDomain, rightDomain);
  const action = meetParts(leftAction, rightAction);
  if (domain === undefined || action === undefined) return undefined;
  return domain === "*" && action === "*" ? "*" : `${domain}:${action}`;
}

function split(pattern: string): [domain: string, action: string] {
  if (pattern === "*") return ["*", "*"];
  const colon = pattern.indexOf(":");
  return [pattern.slice(0, colon), pattern.slice(colon + 1)];
}

function meetParts(left: string, right: string): string | undefined {
  if (left === right || right === "*") return left;
  return left === "*" ? right : undefined;
}
