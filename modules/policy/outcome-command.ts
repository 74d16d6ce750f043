/**
 * `policy:outcome`: how a selection turned out.
 *
 * 1. The first outcome counts. One event id per decision: where two record an outcome at once, or one repeats it after a
 *    time-out, the log keeps the first, and the ledger counts one whatever the log holds.
 * 2. It comes from whoever asked for the selection, or from a module of the daemon: nobody rewards the choices of others. An
 *    agent's own requests do not leave the daemon; one that comes from outside in its name is another's.
 * 3. A reward is within [-1, 1]: what lies beyond is clipped, so that one outcome cannot outweigh a thousand. The answer and the
 *    log say so, as they say what was not measured that the reward counts.
 */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { Call, Caller, MessageMeta, ModuleContext } from "../../daemon/module.ts";
import type { Decision } from "./ledger.ts";
import { defaultReward, gradeOf, type RewardDefinition } from "./reward.ts";
import { gradeRemarks, type Recorded } from "./schema.ts";
import { ownerOf, type State } from "./state.ts";

export const outcomeRequest = z
  .strictObject({
    decision_id: z.string().min(1).max(128),
    reward: z.number().optional().describe("beyond [-1, 1] it is clipped"),
    success: z.boolean().optional(),
    cost: z.number().min(0).optional(),
    latency_ms: z.number().min(0).optional(),
    tools: z
      .record(z.string().max(128), z.number().min(0))
      .refine((tools) => Object.keys(tools).length <= 64, "at most 64 tools")
      .optional()
      .describe("how often each tool was called; one that is not named was not"),
    last: z.boolean().optional().describe("that the episode of the selection is over with it"),
  })
  .refine(({ reward, success }) => reward !== undefined || success !== undefined, "reward or success is needed");
export type Outcome = z.output<typeof outcomeRequest>;

export const settled = z.object({
  joined: z.boolean().describe("false: the selection had its outcome already"),
  ...gradeRemarks,
});
export type Settled = z.output<typeof settled>;

/** @throws CodedError DECISION_UNKNOWN, OUTCOME_FOREIGN */
export async function settle(outcome: Outcome, { state, context, caller, meta, signal }: Call<State>): Promise<Settled> {
  const { decision_id } = outcome;
  const decision = await state.ledger.find(decision_id, signal);
  assertOwn(caller, decision, decision_id);
  return record(outcome, decision, { state, context, meta, signal, source: "policy:outcome" });
}

/** @throws CodedError OUTCOME_FOREIGN */
export function assertOwn(caller: Caller, { owner }: Decision, decision_id: string): void {
  if (caller.kind === "module" || ownerOf(caller) === owner) return;
  throw new CodedError("OUTCOME_FOREIGN", `The selection ${decision_id} was made for another; its outcome is not ${caller.id}'s to give.`, {
    decision_id,
    caller: caller.id,
  });
}

export interface Recording {
  readonly state: State;
  readonly context: ModuleContext;
  readonly meta: Partial<MessageMeta>;
  readonly signal: AbortSignal;
  readonly source: string;
}

/** Writes the outcome unless there is one, and waits until it is counted, so that every later selection knows it. */
export async function record(outcome: Outcome, decision: Decision, { state, context, meta, signal, source }: Recording): Promise<Settled> {
  const { decision_id, success, cost, latency_ms, tools, last } = outcome;
  if (decision.joined) return { joined: false };
  const underWay = state.settling.get(decision_id);
  if (underWay !== undefined) {
    await underWay;
    return { joined: false };
  }
  const { slot, choice } = decision;
  const { reward, clipped, missing } = gradeOf(definitionFor(decision, state), outcome);
  const remarks = { ...(clipped && { clipped }), ...(missing.length > 0 && { missing: [...missing] }) };
  const event: Recorded = {
    decision_id,
    slot,
    choice,
    reward,
    ...(success !== undefined && { success }),
    ...(cost !== undefined && { cost }),
    ...(latency_ms !== undefined && { latency_ms }),
    ...(tools !== undefined && { tools }),
    ...(last && { last }),
    ...remarks,
    source,
  };
  const written = context
    .emit("policy:outcome_recorded", event, meta, { id: `${decision_id}/outcome` })
    .then(async ({ seq, duplicate }) => {
      await state.ledger.reached(seq, signal);
      return !duplicate;
    });
  state.settling.set(decision_id, written);
  try {
    // Another daemon may have written one that this daemon has not read yet.
    return (await written) ? { joined: true, ...remarks } : { joined: false };
  } finally {
    state.settling.delete(decision_id);
  }
}

/** What the outcome of a decision is worth. */
export const definitionFor = ({ reward, slot }: Decision, { slots }: State): RewardDefinition =>
  reward ?? slots.of(slot).reward ?? defaultReward;
