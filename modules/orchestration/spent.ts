/** What a statement took that asked a model, or ran a tool with a price. Pure. */
import type { Spend } from "./account.ts";
import type { Effect } from "./interpreter/effects.ts";

const modelCommands: readonly string[] = ["model:generate", "model:embed"];

/** @param value what the effect gave */
export function spentBy(effect: Effect, value: unknown): Spend | undefined {
  switch (effect.kind) {
    case "call":
    case "consider":
      return modelCommands.includes(effect.command) ? spendIn(value) : undefined;
    case "emit":
      return modelCommands.includes(effect.event) ? spendIn((value as { result?: unknown } | undefined)?.result) : undefined;
    case "run":
      return spendIn(value);
    default:
      return undefined;
  }
}

/** @param reply of a command of models, or of `tool:call` */
export function spendIn(reply: unknown): Spend {
  const { usage, cost = 0 } = (reply ?? {}) as { usage?: { input_tokens: number; output_tokens: number }; cost?: number };
  return { tokens: (usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0), cost };
}
