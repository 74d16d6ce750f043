/** What a run may do only with a human's approval: it waits, at no cost, and then does it as it was approved. */
import { CodedError } from "../../daemon/errors.ts";
import type { InquirerOptions } from "./inquire.ts";
import type { Effect, Effects } from "./interpreter/effects.ts";

/** A request for approval, as far as it is used here. */
interface Approval {
  readonly id: string;
  readonly state: string;
  /** As the human edited it. */
  readonly decided_action?: Action;
  readonly decided_reason?: string;
  readonly used_at?: string;
}

/** What the gate had before it: the command that the effect comes to. */
interface Action {
  readonly command: string;
  readonly input: Readonly<Record<string, unknown>>;
}

export function withApproval(effects: Effects, { context, run, watch, since, activity }: InquirerOptions): Effects {
  return {
    ...effects,
    async perform(effect, step, signal, purse) {
      let wanted = effect;
      for (;;) {
        try {
          return await effects.perform(wanted, step, signal, purse);
        } catch (error) {
          if (!(error instanceof CodedError) || error.code !== "APPROVAL_REQUIRED") throw error;
          const { decided_action } = await decisionOn(String(error.details.approval), step, signal);
          if (decided_action !== undefined) wanted = edited(wanted, decided_action);
        }
      }
    },
    /** What the gate keeps back was not done. */
    isRepeatable: async (effect, step) => (await effects.isRepeatable(effect, step)) || (await isKeptBack(step)),
  };

  async function isKeptBack(step: string): Promise<boolean> {
    if (!context.isCommand("approval:list")) return false;
    const request = `${run.run_id}/${step}`;
    const { approvals } = await context.call<{ approvals: Approval[] }>("approval:list", { request });
    return approvals.some(({ used_at }) => used_at === undefined);
  }

  /** @throws CodedError APPROVAL_DENIED */
  async function decisionOn(id: string, step: string, signal: AbortSignal): Promise<Approval> {
    const ended = activity.waitForHuman(step);
    try {
      const { data } = await watch.waitFor({
        types: ["approval:decided", "approval:expired", "approval:withdrawn"],
        after: since,
        where: (event) => (event.data as { id?: unknown }).id === id,
        signal,
      });
      const approval = data as Approval;
      if (approval.state === "approved") return approval;
      const reason = approval.decided_reason ?? "";
      throw new CodedError("APPROVAL_DENIED", `What needs approval is ${approval.state}. ${reason}`.trim(), {
        approval: id,
        state: approval.state,
      });
    } finally {
      ended();
    }
  }
}

/** The effect that comes to this action; one that cannot be edited stays, and the gate refuses it. */
function edited(effect: Effect, { command, input }: Action): Effect {
  switch (effect.kind) {
    case "call":
    case "consider":
      return { ...effect, command, input };
    case "run":
      return { ...effect, tool: String(input.name), input: input.arguments };
    case "emit":
      return command === "event:emit"
        ? { ...effect, event: String(input.event), data: input.data }
        : { ...effect, event: command, data: input };
    default:
      return effect;
  }
}
