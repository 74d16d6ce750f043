/** Tells of each attempt of a run at what it may not do (invariant 7). */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import type { Effects } from "./interpreter/effects.ts";
import { causeOf, identityOf, type StartedEntry } from "./record.ts";

/** The effects of a run, each refusal of the gate an event. */
export function withDenials(effects: Effects, context: ModuleContext, run: StartedEntry): Effects {
  return {
    ...effects,
    async perform(effect, step, signal, purse) {
      try {
        return await effects.perform(effect, step, signal, purse);
      } catch (error) {
        if (error instanceof CodedError && error.code === "CAPABILITY_DENIED") {
          const { target } = error.details;
          const denied = {
            ...identityOf(run),
            step,
            kind: effect.kind,
            ...(typeof target === "string" && { target }),
            reason: error.message,
          };
          await context.emit("orchestration:denied", denied, causeOf(run), { id: `${run.run_id}/${step}/denied` });
        }
        throw error;
      }
    },
  };
}
