/** What a slot is served by, and the proof: `policy:configure/train/evaluate/compare/promote/rollback/freeze`. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import { type Command, commandsOf } from "../../daemon/module.ts";
import { compare } from "./evaluation/confidence-sequence.ts";
import { featureChoice, specOf } from "./features/choice.ts";
import type { FeatureSpec } from "./features/spec.ts";
import { architecture, smallNetwork } from "./neural/architecture.ts";
import { kinds, onlineKinds, unknownPolicy } from "./policies/kinds.ts";
import { defaultReward, rewardDefinition } from "./reward.ts";
import { outcomeSource, slotName } from "./schema.ts";
import { changeFeatures, compareAnew, type Deployment, labelOf, type SlotState } from "./serving/slot-state.ts";
import { learnNames } from "./settings.ts";
import { checkpointFields, figures, slotFields, viewOf } from "./slot-view.ts";
import type { State } from "./state.ts";
import { outcomesPerTraining } from "./training.ts";

const command = commandsOf<State>();

/** Seconds: a training of all kinds takes a while on a busy machine. */
const longest = 600;

const deployed = {
  slot: slotName,
  policy: z.string().min(1).max(64),
  checkpoint: z
    .string()
    .regex(/^[0-9a-f]{8,64}$/, "expected the beginning of a checkpoint's SHA-256")
    .optional()
    .describe("default: the one that learned from the most"),
};

type Deployed = z.output<z.ZodObject<typeof deployed>>;

/** The deployment that is meant. @throws CodedError POLICY_UNKNOWN, POLICY_UNTRAINED */
function deploymentOf({ slot, policy, checkpoint }: Deployed, { slots, ledger, gate }: State): Deployment {
  const { checkpoints, learned, learn } = slots.of(slot);
  const isTrained = onlineKinds[policy] !== undefined || checkpoints.some((one) => one.policy === policy);
  if (kinds[policy] === undefined || isTrained || checkpoint !== undefined) return gate.deploymentOf(slot, policy, checkpoint);
  const outcomes = ledger.tally(slot).outcomes - learned;
  const when = learn.includes(policy)
    ? `it is trained after ${outcomesPerTraining} outcomes, and there are ${outcomes}`
    : "it is not among what the slot learns, which policy:configure sets";
  throw new CodedError("POLICY_UNTRAINED", `${policy} has no checkpoint in ${slot} yet: ${when}. policy:train trains it now.`, {
    slot,
    policy,
    outcomes,
    needed: outcomesPerTraining,
  });
}

/** @throws CodedError SLOT_FROZEN */
function withFeatures(slot: string, present: SlotState, features: FeatureSpec, { slots, training }: State): SlotState {
  if (features.version === present.features.version) return present;
  if (present.frozen)
    throw new CodedError("SLOT_FROZEN", `What serves ${slot} is frozen, and would be another under other features.`, { slot });
  return changeFeatures(present, features, slots.fresh.serving, training.again(slot));
}

const notTrained = (policy: string): CodedError =>
  new CodedError("REQUEST_INVALID", `${policy} learns from each outcome as it comes: there is nothing to train.`, { policy });

export const gateCommands: Readonly<Record<string, Command<State>>> = {
  "policy:configure": command({
    description: "Sets how a slot learns: from which features, by which policies, and what tells outcomes that nobody gives.",
    input: z.strictObject({
      slot: slotName,
      learn: learnNames.optional().describe("[] = only the serving policy"),
      reward: rewardDefinition.optional().describe("what an outcome is worth"),
      outcome_from: outcomeSource.shape.event.nullable().optional().describe("null = whoever selects says so"),
      features: featureChoice
        .optional()
        .describe("all of them; what is not said is as usual. Where they are others, everything is learned from the experience again"),
      network: architecture.optional().describe("what kto and reinforce are like, from the next training on"),
    }),
    output: slotFields,
    async handle({ slot, learn, reward, outcome_from, features: chosen, network }, { state, meta, signal }) {
      const features = chosen && specOf(chosen);
      if (features?.text) await state.embedder.check(features.text, meta);
      await state.ledger.current(signal);
      await state.slots.change(slot, (present) => {
        const { outcome_from: before, ...rest } = features === undefined ? present : withFeatures(slot, present, features, state);
        const source = outcome_from === undefined ? before : (outcome_from ?? undefined);
        const configured = {
          ...rest,
          ...(learn && { learn }),
          ...(reward && { reward }),
          ...(network && { network }),
          ...(source && { outcome_from: source }),
        };
        const isGradedAnew = JSON.stringify(configured.reward ?? defaultReward) !== JSON.stringify(present.reward ?? defaultReward);
        const next = isGradedAnew ? compareAnew(configured, state.ledger.tally(slot).outcomes) : configured;
        const data = {
          slot,
          learn: next.learn,
          reward: next.reward ?? defaultReward,
          ...(source && { outcome_from: source }),
          features: next.features,
          network: next.network ?? smallNetwork,
          serving: labelOf(next.serving),
        };
        return { state: next, tell: { event: "policy:configured", data } };
      });
      state.training.begin(slot);
      return viewOf(slot, state);
    },
  }),
  "policy:train": command({
    description: "Trains a policy on the outcomes of a slot now. It serves nothing before it was promoted.",
    input: z.strictObject({ slot: slotName, policy: z.string().min(1).max(64) }),
    output: checkpointFields,
    deadline: longest,
    async handle({ slot, policy }, { state, signal }) {
      if (onlineKinds[policy] !== undefined) throw notTrained(policy);
      if (kinds[policy] === undefined) throw unknownPolicy(policy);
      await state.ledger.current(signal);
      const checkpoint = await state.training.train(slot, policy, state.ledger.tally(slot).outcomes, signal);
      return { ...checkpoint, report: { ...checkpoint.report } };
    },
  }),
  "policy:evaluate": command({
    description: "Tells what a policy would have been worth on logged outcomes that it did not learn from, beside the serving policy.",
    reads: true,
    input: z.strictObject(deployed),
    output: z.looseObject({
      slot: z.string(),
      policy: z.string(),
      against: z.string().describe("the serving policy"),
      outcomes: z.int().describe("that it is judged by"),
      decision: figures,
    }),
    deadline: longest,
    async handle(input, { state, signal }) {
      const { slot } = input;
      await state.ledger.current(signal);
      const deployment = deploymentOf(input, state);
      const evaluation = await state.gate.evaluate(slot, deployment, signal);
      return {
        slot,
        policy: labelOf(deployment),
        against: labelOf(state.slots.of(slot).serving),
        ...evaluation,
        decision: { ...evaluation.decision },
      };
    },
  }),
  "policy:compare": command({
    description: "Compares two candidates of a slot by their logged outcomes. The answer holds however often it is asked for.",
    reads: true,
    input: z.strictObject({
      slot: slotName,
      left: z.string().min(1).max(128),
      right: z.string().min(1).max(128),
      least_odds: z.number().min(0.001).max(0.5).describe("that either candidate had in every choice, as it was settled beforehand"),
      alpha: z.number().min(0.0001).max(0.5).default(0.05).describe("risk of a wrong verdict, ever"),
    }),
    output: z.object({
      difference: z.number().describe("of the mean rewards, left less right"),
      interval: z.tuple([z.number(), z.number()]).describe("holds at all times, but for the risk alpha"),
      verdict: z.enum(["left", "right", "not enough data"]),
      left: z.object({ outcomes: z.int(), mean_reward: z.number() }),
      right: z.object({ outcomes: z.int(), mean_reward: z.number() }),
    }),
    async handle({ slot, left, right, least_odds, alpha }, { state, signal }) {
      if (left === right) throw new CodedError("REQUEST_INVALID", "policy:compare: right: is the same candidate as left", { right });
      await state.ledger.current(signal);
      const { sides, later, least } = state.ledger.candidates(slot, left, right);
      if (least < least_odds * (1 - 1e-9)) {
        const message = `policy:compare: least_odds: at most ${least}: with these odds one of them was chosen`;
        throw new CodedError("REQUEST_INVALID", message, { least_odds, odds: least });
      }
      const { difference, interval, verdict } = compare(sides, later, { least: least_odds, alpha });
      const tally = (id: string) => {
        const { outcomes, total } = state.ledger.tally(slot).candidates.get(id) ?? { outcomes: 0, total: 0 };
        return { outcomes, mean_reward: outcomes === 0 ? 0 : total / outcomes };
      };
      return { difference, interval: [interval[0], interval[1]] as [number, number], verdict, left: tally(left), right: tally(right) };
    },
  }),
  "policy:promote": command({
    description: "Takes a policy one step further, if the evidence says so: to a trial with 5 % of the selections, or from there to all.",
    input: z.strictObject(deployed),
    output: slotFields,
    deadline: longest,
    async handle(input, { state, signal }) {
      const { slot } = input;
      await state.ledger.current(signal);
      await state.gate.promote(slot, deploymentOf(input, state), false, signal);
      return viewOf(slot, state);
    },
  }),
  "policy:rollback": command({
    description: "Ends a trial; where there is none, the policy that served before serves again.",
    input: z.strictObject({ slot: slotName, reason: z.string().max(500).default("asked for") }),
    output: slotFields,
    async handle({ slot, reason }, { state }) {
      await state.gate.rollBack(slot, reason);
      return viewOf(slot, state);
    },
  }),
  "policy:freeze": command({
    description: "Keeps the policy that serves: nothing is trained, tried or promoted until it is unfrozen.",
    input: z.strictObject({ slot: slotName, frozen: z.boolean().default(true) }),
    output: slotFields,
    async handle({ slot, frozen }, { state }) {
      await state.slots.change(slot, (present) => {
        if (present.frozen === frozen) return undefined;
        const data = { slot, policy: labelOf(present.serving) };
        return { state: { ...present, frozen }, tell: { event: frozen ? "policy:frozen" : "policy:unfrozen", data } };
      });
      return viewOf(slot, state);
    },
  }),
};
