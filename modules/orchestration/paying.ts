/** Answers that agents without a pattern ask of models, paid from the account of the run that they work for. */
import { CodedError } from "../../daemon/errors.ts";
import type { Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import { nothing } from "./account.ts";
import { askModel, type ModelRequest } from "./asking.ts";
import type { Playing } from "./playing.ts";

export interface Paying {
  /**
   * Asks a model for an agent. A run that is not played here at present pays nothing: its agents are held to their own limits.
   * @throws CodedError CAPABILITY_DENIED, RUN_LIMIT_EXCEEDED, those of `model:generate`
   */
  generate(run: string, request: ModelRequest, asked: { caller: Caller; meta: MessageMeta; signal: AbortSignal }): Promise<object>;
}

export function createPaying({ context, playing }: { readonly context: ModuleContext; readonly playing: Playing }): Paying {
  return {
    async generate(run_id, request, { caller, meta, signal }) {
      if (caller.kind !== "module" || caller.id !== "agent") {
        throw new CodedError("CAPABILITY_DENIED", `${caller.id} may not use orchestration:generate: agents at work alone do`, {
          caller: caller.id,
          target: "orchestration:generate",
        });
      }
      await playing.recovered(run_id);
      const handle = playing.find(run_id)?.handle;
      if (handle === undefined || handle.isAtRest) return context.call("model:generate", request, { cause: meta, signal });
      const purse = handle.account.purse();
      try {
        return await askModel(context, request, purse, { cause: meta, signal });
      } finally {
        if (purse.spent !== nothing) await handle.note({ ...purse.spent, ...(meta.agent && { agent_id: meta.agent }) });
      }
    },
  };
}
