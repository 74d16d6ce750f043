/** The domain `policy`: chooses among candidates, logs each choice with its odds, and learns from the outcomes. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { commandsOf, defineModule, type Module } from "../../daemon/module.ts";
import { draw, systemRandom } from "./chance.ts";
import { Ledger, type LedgerOptions } from "./ledger.ts";
import { bestSoFar } from "./policies/best-so-far.ts";
import type { Policy } from "./policies/policy.ts";
import { uniform } from "./policies/uniform.ts";

interface State extends AsyncDisposable {
  readonly ledger: Ledger;
  /** Outcomes that are being written, by decision. */
  readonly settling: Map<string, Promise<void>>;
  /** Position of the last selection that this process wrote. */
  lastSelection: number;
}

const policies: Readonly<Record<"best_so_far" | "uniform", Policy>> = { best_so_far: bestSoFar, uniform };
const policyNames = z.enum(["best_so_far", "uniform"]);

const slot = z.string().min(1).max(128).describe("what is chosen: a name of the user's");
const contextSchema = z
  .record(z.string().max(64), z.union([z.string().max(256), z.number(), z.boolean(), z.null()]))
  .refine((context) => Object.keys(context).length <= 32, "at most 32 keys");
const candidate = z.object({ id: z.string().min(1).max(128), features: z.record(z.string(), z.unknown()).optional() });
const reply = z.object({
  decision_id: z.string(),
  choice: z.string(),
  probability: z.number().describe("of this choice, when it was made"),
  scores: z.record(z.string(), z.number()).describe("what the policy thought of each candidate; higher is better"),
  reason: z.string().describe("why this one"),
  policy: z.string(),
  version: z.string(),
});

export interface PolicyModuleOptions extends LedgerOptions {
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

export function createPolicyModule({ random = systemRandom, ...ledgerOptions }: PolicyModuleOptions = {}): Module<State> {
  const command = commandsOf<State>();
  return defineModule<State>({
    name: "policy",
    description: "Chooses among candidates by what their outcomes were, and logs every choice with its odds.",
    commands: {
      "policy:select": command({
        description:
          "Chooses one of the candidates. The reply's decision_id joins the outcome to it. A request with the same id (ce-id) gets the same answer.",
        input: z.strictObject({
          slot,
          context: contextSchema.default({}),
          candidates: z
            .array(candidate)
            .min(1)
            .max(256)
            .refine((candidates) => new Set(candidates.map(({ id }) => id)).size === candidates.length, "ids must be unique"),
          policy: policyNames.default("best_so_far"),
        }),
        output: reply,
        async handle({ slot, context, candidates, policy: name }, { state, context: daemon, meta }) {
          await state.ledger.caughtUp();
          const answered = state.ledger.answered(meta.id, slot, candidates);
          if (answered !== undefined) return reply.parse(answered);
          const policy = policies[name];
          const odds = policy.odds(candidates, context, state.ledger.statistics(slot));
          const index = draw(odds.probabilities, random());
          const selected = {
            decision_id: daemon.newId(),
            choice: candidates[index]?.id ?? "",
            probability: odds.probabilities[index] ?? 0,
            scores: Object.fromEntries(candidates.map(({ id }, position) => [id, odds.scores[position] ?? 0])),
            reason: odds.reason(index),
            policy: policy.name,
            version: policy.version,
          };
          const event = { ...selected, request: meta.id, slot, context, candidates };
          const { seq } = await daemon.emit("policy:selected", event, meta, { id: selected.decision_id });
          state.lastSelection = Math.max(state.lastSelection, seq);
          return selected;
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
        input: z.strictObject({ slot: slot.optional() }),
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
        schema: reply.extend({ request: z.string(), slot: z.string(), context: contextSchema, candidates: z.array(candidate) }),
      },
      "policy:outcome_recorded": {
        description: "A selection got its outcome.",
        schema: z.object({
          decision_id: z.string(),
          slot: z.string(),
          choice: z.string(),
          reward: z.number(),
          success: z.boolean().optional(),
          cost: z.number().optional(),
          latency_ms: z.number().optional(),
        }),
      },
    },
    async start(context) {
      const ledger = await Ledger.open(context, ledgerOptions);
      return { ledger, settling: new Map(), lastSelection: 0, [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose]() };
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
