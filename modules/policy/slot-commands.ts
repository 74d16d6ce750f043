/** What slots there are, and what they are like, page by page: `policy:list` and `policy:stats`. */
import { z } from "zod";
import { type Command, commandsOf } from "../../daemon/module.ts";
import type { Ledger } from "./ledger.ts";
import { slotName } from "./schema.ts";
import { slotFields, viewOf } from "./slot-view.ts";
import type { State } from "./state.ts";

const command = commandsOf<State>();

/** Bytes of a reply: well under NATS's payload limit. One slot is told of in any case, and fits by itself. */
const largestPage = 512 * 1024;

const pageRequest = z.strictObject({
  slot: slotName.optional().describe("default: all of them, in the order of their names"),
  limit: z.int().min(1).max(1_000).default(1_000),
  cursor: z.string().max(128).optional().describe("of an earlier reply"),
});
const cursor = z.string().optional().describe("there are more");

const summary = z.object({
  slot: z.string(),
  selections: z.int(),
  outcomes: z.int(),
  candidates: z.array(z.object({ id: z.string(), outcomes: z.int(), mean_reward: z.number() })),
});

export const slotCommands: Readonly<Record<string, Command<State>>> = {
  "policy:list": command({
    description: "Lists the slots with what serves them, what is on trial, the live comparison and the checkpoints; paged.",
    reads: true,
    input: pageRequest,
    output: z.object({ slots: z.array(slotFields), cursor }),
    async handle(request, { state, signal }) {
      await state.ledger.current(signal);
      const names = () => [...new Set([...state.ledger.slots(), ...state.slots.names()])].sort();
      return pageOf(request, names, (slot) => viewOf(slot, state));
    },
  }),
  "policy:stats": command({
    description: "What was selected and how it was rewarded, by slot and candidate; paged.",
    reads: true,
    input: pageRequest,
    output: z.object({ slots: z.array(summary), cursor }),
    async handle(request, { state: { ledger }, signal }) {
      await ledger.current(signal);
      return pageOf(
        request,
        () => ledger.slots(),
        (slot) => summaryOf(slot, ledger),
      );
    },
  }),
};

/**
 * @param names of all slots, sorted
 * @returns what is told of the one that is asked for, or of those after the cursor, which is the name of the last slot of a page
 */
function pageOf<Told>(
  { slot, limit, cursor: after = "" }: z.output<typeof pageRequest>,
  names: () => readonly string[],
  tell: (slot: string) => Told,
): { slots: Told[]; cursor?: string | undefined } {
  if (slot !== undefined) return { slots: [tell(slot)] };
  const wanted = names().filter((name) => name > after);
  const slots: Told[] = [];
  let bytes = 0;
  for (const name of wanted.slice(0, limit)) {
    const told = tell(name);
    bytes += Buffer.byteLength(JSON.stringify(told));
    if (bytes > largestPage && slots.length > 0) break;
    slots.push(told);
  }
  return { slots, ...(slots.length < wanted.length && { cursor: wanted[slots.length - 1] }) };
}

function summaryOf(slot: string, ledger: Ledger): z.output<typeof summary> {
  const { selections, outcomes, candidates: tallies } = ledger.tally(slot);
  const candidates = [...tallies]
    .map(([id, { outcomes: count, total }]) => ({ id, outcomes: count, mean_reward: total / count }))
    .sort((left, right) => (left.id < right.id ? -1 : 1));
  return { slot, selections, outcomes, candidates };
}
