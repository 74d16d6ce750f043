/** The domain `policy`: chooses among candidates, logs each choice with its odds, and learns from the outcomes. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { type Call, commandsOf, defineModule, type Module } from "../../daemon/module.ts";
import { draw, systemRandom } from "./chance.ts";
import { Ledger, type LedgerOptions } from "./ledger.ts";
import { bestSoFar, type StatisticsPolicy, uniform } from "./policies/legacy.ts";

import { type Choice, candidate, choice, contextFeatures, recorded, selected, slotName } from "./schema.ts";

/** A choice, and the position of its event in the log. */
interface Selecting {
  readonly made: Choice;
  readonly seq: number;
}

interface State extends AsyncDisposable {
  readonly ledger: Ledger;
  /** Answers that the ledger does not know yet, by what was asked: whoever repeats the request shares them. */
  readonly selecting: Map<string, Promise<Selecting>>;
  /** Outcomes that are being written, by decision. */
  readonly settling: Map<string, Promise<void>>;
  /** Position of the last selection that this process wrote. */
  lastSelection: number;
}

const policies: Readonly<Record<"best_so_far" | "uniform", StatisticsPolicy>> = { best_so_far: bestSoFar, uniform };
const policyNames = z.enum(["best_so_far", "uniform"]);

const selectRequest = z.strictObject({
  slot: slotName,
  context: contextFeatures.default({}),
  candidates: z
    .array(candidate)
    .min(1)
    .max(256)
    .refine((candidates) => new Set(candidates.map(({ id }) => id)).size === candidates.length, "ids must be unique"),
  policy: policyNames.default("best_so_far"),
});

export interface PolicyModuleOptions extends LedgerOptions {
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

export function createPolicyModule({ random = systemRandom, ...ledgerOptions }: PolicyModuleOptions = {}): Module<State> {
  const command = commandsOf<State>();

  async function select(request: z.output<typeof selectRequest>, { state, context: daemon, meta }: Call<State>): Promise<Selecting> {
    const { slot, context, candidates } = request;
    const policy = policies[request.policy];
    const odds = policy.odds(candidates, context, state.ledger.statistics(slot));
    const index = draw(odds.probabilities, random());
    const made = {
      decision_id: daemon.newId(),
      choice: candidates[index]?.id ?? "",
      probability: odds.probabilities[index] ?? 0,
      scores: Object.fromEntries(candidates.map(({ id }, position) => [id, odds.scores[position] ?? 0])),
      reason: odds.reason(index),
      policy: policy.name,
      version: policy.version,
    };
    const event = { ...made, request: meta.id, slot, context, candidates };
    const { seq } = await daemon.emit("policy:selected", event, meta, { id: made.decision_id });
    state.lastSelection = Math.max(state.lastSelection, seq);
    return { made, seq };
  }

  return defineModule<State>({
    name: "policy",
    description: "Chooses among candidates by what their outcomes were, and logs every choice with its odds.",
    commands: {
      "policy:select": command({
        description:
          "Chooses one of the candidates. The reply's decision_id joins the outcome to it. A request with the same id (ce-id) gets the same answer.",
        input: selectRequest,
        output: choice,
        async handle(request, call) {
          const { state, context: daemon, meta } = call;
          const { slot, candidates } = request;
          await state.ledger.caughtUp();
          const answered = state.ledger.answered(meta.id, slot, candidates);
          if (answered !== undefined) return choice.parse(answered);
          const key = JSON.stringify([meta.id, slot, candidates.map(({ id }) => id)]);
          const underWay = state.selecting.get(key);
          if (underWay !== undefined) return (await underWay).made;
          const selecting = select(request, call);
          state.selecting.set(key, selecting);
          selecting
            .then(({ seq }) => state.ledger.reached(seq, daemon.signal))
            .catch(() => undefined)
            .finally(() => state.selecting.delete(key));
          return (await selecting).made;
        },
      }),
      "policy:outcome": command({
        description: "Says how a selection turned out. The first outcome counts; a repeated one answers joined: false.",
        input: z
          .strictObject({
            decision_id: z.string().min(1).max(128),
            reward: z.number().min(-1e6).max(1e6).optional(),
            success: z.boolean().optional(),
            cost: z.number().optional(),
            latency_ms: z.number().optional(),
          })
          .refine(({ reward, success }) => reward !== undefined || success !== undefined, "reward or success is needed"),
        output: z.object({ joined: z.boolean() }),
        async handle({ decision_id, reward, success, ...measured }, { state, context: daemon, meta, signal }) {
          const { ledger, settling } = state;
          await ledger.reached(state.lastSelection, signal);
          const selection = ledger.selection(decision_id);
          if (selection === undefined) {
            throw new CodedError("DECISION_UNKNOWN", `No selection ${decision_id} is remembered.`, { decision_id });
          }
          if (selection.joined) return { joined: false };
          const underWay = settling.get(decision_id);
          if (underWay !== undefined) {
            await underWay;
            return { joined: false };
          }
          const event = {
            decision_id,
            slot: selection.slot,
            choice: selection.choice,
            reward: reward ?? (success ? 1 : 0),
            success,
            ...measured,
          };
          // One id per decision: where two daemons record an outcome, or one repeats it after a time-out, the log keeps the first.
          // The answer waits until the outcome is counted, so that every later selection knows it.
          const written = daemon
            .emit("policy:outcome_recorded", event, meta, { id: `outcome-${decision_id}` })
            .then(({ seq }) => ledger.reached(seq, signal));
          settling.set(decision_id, written);
          try {
            await written;
          } finally {
            settling.delete(decision_id);
          }
          return { joined: true };
        },
      }),
      "policy:stats": command({
        description: "What was selected and how it was rewarded, by slot and candidate.",
        reads: true,
        input: z.strictObject({ slot: slotName.optional() }),
        output: z.object({
          slots: z.array(
            z.object({
              slot: z.string(),
              selections: z.int(),
              outcomes: z.int(),
              candidates: z.array(z.object({ id: z.string(), outcomes: z.int(), mean_reward: z.number() })),
            }),
          ),
        }),
        async handle({ slot }, { state, signal }) {
          await state.ledger.reached(state.lastSelection, signal);
          const names = slot === undefined ? state.ledger.slots() : [slot];
          return { slots: names.map((name) => summary(name, state.ledger)) };
        },
      }),
    },
    events: {
      "policy:selected": {
        description: "A choice was made, with the odds it had.",
        schema: selected,
      },
      "policy:outcome_recorded": {
        description: "A selection got its outcome.",
        schema: recorded,
      },
    },
    async start(context) {
      const ledger = await Ledger.open(context, ledgerOptions);
      return {
        ledger,
        selecting: new Map(),
        settling: new Map(),
        lastSelection: 0,
        [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
      };
    },
  });
}

export default createPolicyModule();

function summary(slot: string, ledger: Ledger) {
  const statistics = ledger.statistics(slot);
  const candidates = statistics.candidates().map((id) => {
    const { count, total } = statistics.overall(id);
    return { id, outcomes: count, mean_reward: total / count };
  });
  return { slot, selections: statistics.selections, outcomes: statistics.outcomes, candidates };
}
