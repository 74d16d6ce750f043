/** `policy:link`: for what began after the selection, as a run of the pattern that was chosen. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Call, ModuleContext } from "../../daemon/module.ts";
import { settleBy, type Tale } from "./derived-outcomes.ts";
import { assertOwn } from "./outcome-command.ts";
import { linked, type OutcomeSource } from "./schema.ts";
import type { State } from "./state.ts";

export const linkRequest = z.strictObject({ decision_id: z.string().min(1).max(128), outcome_from: linked.shape.outcome_from });

/** @returns linked: false when the outcome is known already. @throws CodedError DECISION_UNKNOWN, OUTCOME_FOREIGN */
export async function link(
  request: z.output<typeof linkRequest>,
  { state, context, caller, meta, signal }: Call<State>,
): Promise<{ linked: boolean }> {
  const { decision_id } = request;
  const decision = await state.ledger.find(decision_id, signal);
  assertOwn(caller, decision, decision_id);
  if (decision.joined) return { linked: false };
  const { seq } = await context.emit("policy:linked", request, meta);
  state.ledger.wrote(seq);
  await state.ledger.upToDate(signal);
  // What was over before it was linked tells nobody any more.
  for (const tale of await earlier(request.outcome_from, context)) await settleBy(tale, { state, context, meta });
  return { linked: true };
}

const approval = z.looseObject({ id: z.string(), state: z.string() });

/** What tells the outcome already. */
async function earlier({ event, id }: Required<OutcomeSource>, { events, call }: ModuleContext): Promise<Tale[]> {
  switch (event) {
    case "run":
      return (await events.query({ types: ["orchestration:completed", "orchestration:failed"], run: id })).events;
    case "tool":
      return (await events.query({ types: ["tool:completed", "tool:failed"], correlation: id })).events;
    case "approval": {
      const data = approval.parse(await call("approval:info", { id }).catch(unlessUnknown));
      return data.state === "approved" || data.state === "denied" ? [{ type: "approval:decided", data, correlation: id }] : [];
    }
  }
}

/** Nobody was asked yet. */
function unlessUnknown(error: unknown): z.output<typeof approval> {
  if (error instanceof CodedError && error.code === "APPROVAL_NOT_FOUND") return { id: "", state: "pending" };
  throw error;
}
