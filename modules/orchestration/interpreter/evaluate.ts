/** Evaluates the expressions of a pattern over the variables of a run: directly where they are simple, else by the engine. */
import type { Expressions } from "../../../daemon/module.ts";
import { askEngine, type State } from "../language/direct.ts";
import type { Expression } from "../language/expression.ts";

export async function evaluate(expression: Expression, state: State, expressions: Pick<Expressions, "evaluate">): Promise<unknown> {
  const value = expression.direct === undefined ? askEngine : expression.direct(state);
  return value === askEngine ? expressions.evaluate(expression.jsonata, inputOf(expression, state)) : value;
}

/** Only what the expression reads goes to the engine, which lives in another process. */
function inputOf({ reads }: Expression, state: State): State {
  if (reads === undefined) return state;
  return Object.fromEntries(reads.filter((name) => Object.hasOwn(state, name)).map((name) => [name, state[name]]));
}

/** Truth as in JSONata's `$boolean`: nothing, "", 0, null and empty or all-false lists are false. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isTrue);
  if (value !== null && typeof value === "object") return Object.keys(value).length > 0;
  return Boolean(value);
}
