/** Outcomes that nobody has to give: how a run ended, a tool call, an approval, for the selections that named it. */
import { z } from "zod";
import type { EventHandler, EventRecord, ModuleContext } from "../../daemon/module.ts";
import { toolKey } from "./experience/awaited-key.ts";
import { definitionFor, type Outcome, type Recording, record } from "./outcome-command.ts";
import { counted } from "./reward.ts";
import type { OutcomeSource } from "./schema.ts";
import type { State } from "./state.ts";

/** What an event tells, and under which keys decisions wait for it. */
interface Told {
  readonly event: OutcomeSource["event"];
  readonly keys: readonly string[];
  readonly outcome: Omit<Outcome, "decision_id">;
}

/** The part of an event that tells an outcome. */
export type Tale = Pick<EventRecord, "type" | "data" | "correlation" | "run">;

const scored = z.looseObject({ score: z.number() });
const measures = { duration_ms: z.number().min(0).optional(), cost: z.number().min(0).optional() };
const runEnded = z.object({
  run_id: z.string(),
  result: z.unknown().optional(),
  usage: z.object({ cost: z.number().min(0).optional() }).optional(),
  ...measures,
});
const toolEnded = z.object({ name: z.string(), ...measures });
const approval = z.object({ id: z.string(), state: z.string() });

/** A run's success, or the `score` of its result where that is a number. */
const readRun =
  (success: boolean) =>
  (event: Tale): Told | undefined => {
    const run = runEnded.safeParse(event.data).data;
    if (run === undefined) return undefined;
    const reward = success ? scored.safeParse(run.result).data?.score : undefined;
    return {
      event: "run",
      keys: [run.run_id],
      outcome: { success, ...(reward !== undefined && { reward }), ...measured(run.duration_ms, run.usage?.cost ?? run.cost) },
    };
  };

const readTool =
  (success: boolean) =>
  ({ data, correlation, run }: Tale): Told | undefined => {
    const call = toolEnded.safeParse(data).data;
    if (call === undefined) return undefined;
    // A client's call begins a causal tree, which has its id.
    const keys = [correlation, ...(run === undefined ? [] : [toolKey(run, call.name)])];
    return { event: "tool", keys, outcome: { success, ...measured(call.duration_ms, call.cost) } };
  };

const readApproval = ({ data }: Tale): Told | undefined => {
  const decided = approval.safeParse(data).data;
  return decided && { event: "approval", keys: [decided.id], outcome: { success: decided.state === "approved" } };
};

const measured = (latency_ms: number | undefined, cost: number | undefined) => ({
  ...(latency_ms !== undefined && { latency_ms }),
  ...(cost !== undefined && { cost }),
});

const readers: Readonly<Record<string, (tale: Tale) => Told | undefined>> = {
  "orchestration:completed": readRun(true),
  "orchestration:failed": readRun(false),
  "tool:completed": readTool(true),
  "tool:failed": readTool(false),
  "approval:decided": readApproval,
};

/** Settles the decisions that wait for this. */
export async function settleBy(tale: Tale, { state, context, meta }: Pick<Recording, "state" | "context" | "meta">): Promise<void> {
  const told = readers[tale.type]?.(tale);
  if (told === undefined) return;
  await state.ledger.current(context.signal); // another daemon may have made the choice
  for (const key of told.keys) {
    for (const decision_id of state.ledger.awaiting(told.event, key)) {
      const decision = state.ledger.decision(decision_id);
      if (decision === undefined) continue;
      const tools = told.event === "run" && counted(definitionFor(decision, state)).includes("tools") && (await callsIn(key, context));
      const outcome = { decision_id, ...told.outcome, ...(tools && { tools }) };
      await record(outcome, decision, { state, context, meta, signal: context.signal, source: tale.type });
    }
  }
}

/** How often a run called each tool, with success or without. */
async function callsIn(run: string, { events }: ModuleContext): Promise<Record<string, number>> {
  const calls: Record<string, number> = {};
  for (let cursor: string | undefined; ; ) {
    const page = await events.query({ types: ["tool:completed", "tool:failed"], run, limit: 1_000, ...(cursor && { cursor }) });
    for (const { data } of page.events) {
      const name = toolEnded.safeParse(data).data?.name;
      if (name !== undefined) calls[name] = (calls[name] ?? 0) + 1;
    }
    cursor = page.cursor;
    if (cursor === undefined) return calls;
  }
}

export const derivedOutcomes: Readonly<Record<string, EventHandler<State>>> = Object.fromEntries(
  Object.keys(readers).map((type) => [type, settleBy]),
);
