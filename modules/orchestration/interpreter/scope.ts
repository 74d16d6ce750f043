/**
 * The variables of a run. Values are never changed in place: an update copies along its path, so what was handed out stays.
 *
 * Branches that run side by side each get a fork; joining replays their writes in the order of the branches, so the outcome
 * does not depend on which was faster.
 */
import { CodedError } from "../../../daemon/errors.ts";
import type { State } from "../language/direct.ts";

type Write = { readonly path: readonly string[]; readonly change: (old: unknown) => unknown };

export interface Scope {
  readonly state: State;
  set(path: readonly string[], value: unknown): void;
  append(path: readonly string[], value: unknown): void;
  /** Gives `name` a value until the returned function puts the earlier one back. */
  shadow(name: string, value: unknown): () => void;
  fork(): Scope & { readonly writes: readonly Write[] };
  join(forks: readonly { readonly writes: readonly Write[] }[]): void;
}

export const createScope = (initial: State): Scope => scopeOver(initial, { isFork: false });

function scopeOver(initial: State, { isFork }: { isFork: boolean }): ReturnType<Scope["fork"]> {
  const state: Record<string, unknown> = { ...initial };
  const writes: Write[] = [];
  /** Names that a loop around the statement has for itself. */
  const shadowed: string[] = [];

  function write(one: Write) {
    const [name, ...below] = one.path as [string, ...string[]];
    assign(state, name, changed(state[name], below, one.change));
    if (isFork && !shadowed.includes(name)) writes.push(one);
  }

  return {
    state,
    writes,
    set: (path, value) => write({ path, change: () => value }),
    append: (path, value) =>
      write({ path, change: (old) => (old === undefined ? [value] : Array.isArray(old) ? [...old, value] : [old, value]) }),
    shadow(name, value) {
      const had = Object.hasOwn(state, name);
      const before = state[name];
      assign(state, name, value);
      shadowed.push(name);
      return () => {
        shadowed.pop();
        if (had) assign(state, name, before);
        else delete state[name];
      };
    },
    fork: () => scopeOver(state, { isFork: true }),
    join: (forks) => {
      for (const fork of forks) fork.writes.forEach(write);
    },
  };
}

function changed(old: unknown, path: readonly string[], change: (old: unknown) => unknown): unknown {
  const [key, ...below] = path;
  if (key === undefined) return change(old);
  if (old !== undefined && (old === null || typeof old !== "object" || Array.isArray(old))) {
    throw new CodedError("EXPRESSION_FAILED", `"${key}" cannot be set in a value that is no object.`, { key });
  }
  const copy: Record<string, unknown> = { ...old };
  assign(copy, key, changed(copy[key], below, change));
  return copy;
}

/** Also `__proto__` is but a name. */
function assign(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name === "__proto__") Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
  else target[name] = value;
}
