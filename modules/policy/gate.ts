/**
 * What serves a slot changes here alone (invariant 9), and only so:
 *
 * 1. A policy begins a trial, with 5 % of the selections, when the evaluation on logged outcomes that it did not learn from
 *    says that it is better than the serving one. Every checkpoint is judged once by itself; whoever asks may judge again.
 * 2. The trial ends when its outcomes beside those of the serving policy say which is better (evaluation/trial.ts). If that is
 *    the one on trial, it serves all selections but 5 %, which stay with the one before.
 * 3. As soon as the confidence sequence says that the other is better, however long the comparison goes on, it is rolled back.
 * 4. A frozen slot stays as it is, but for a rollback that somebody asks for.
 */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { compare, meanRewardOf, type SequentialVerdict, type Side } from "./evaluation/confidence-sequence.ts";
import { sufficiencyOf } from "./evaluation/promotion.ts";
import { judgeTrial, type Trial } from "./evaluation/trial.ts";
import { experienceWindow } from "./experience/store.ts";
import type { Evaluation } from "./learner/evaluate-job.ts";
import type { Learner } from "./learner/learner.ts";
import type { PolicyState } from "./learner/messages.ts";
import type { Ledger } from "./ledger.ts";
import { onlineKinds, unknownPolicy } from "./policies/kinds.ts";
import { optionsOf } from "./serving/online.ts";
import {
  beginTrial,
  type Checkpoint,
  type Deployment,
  isRefused,
  isSame,
  labelOf,
  promote,
  rollBack,
  type SlotState,
} from "./serving/slot-state.ts";
import type { Slots } from "./serving/slots.ts";

/** How the contender does beside the serving policy. */
export interface LiveComparison extends Omit<SequentialVerdict, "verdict"> {
  readonly contender: { readonly outcomes: number; readonly mean_reward: number };
  readonly serving: { readonly outcomes: number; readonly mean_reward: number };
  readonly verdict: "better" | "worse" | "not enough data";
  /** Of a trial, how near it is to its end. */
  readonly trial?: Trial;
}

export interface GateOptions {
  readonly context: ModuleContext;
  readonly ledger: Ledger;
  readonly slots: Slots;
  readonly checkpoints: Checkpoints;
  readonly learner: Learner;
}

export class Gate {
  readonly #options: GateOptions;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /**
   * The deployment that is meant: by a kind's name the checkpoint that learned from the most, or a checkpoint by the beginning of its hash.
   * @throws CodedError POLICY_UNKNOWN; POLICY_STATE_INVALID for one that was trained under another feature spec
   */
  deploymentOf(slot: string, policy: string, checkpoint?: string): Deployment {
    if (checkpoint === undefined && onlineKinds[policy] !== undefined) return { policy };
    const state = this.#options.slots.of(slot);
    const asked = state.checkpoints.filter((one) => one.policy === policy && one.sha256.startsWith(checkpoint ?? ""));
    const usable = asked.filter((one) => one.feature_spec === state.features.version);
    // Not the newest: a training that was asked for overtakes those that wait.
    const found = usable.toSorted((one, other) => other.outcomes - one.outcomes)[0] ?? asked[0];
    if (found === undefined) throw checkpoint === undefined ? unknownPolicy(policy) : unknownCheckpoint(slot, policy, checkpoint, state);
    if (found.feature_spec !== state.features.version) throw ofOtherFeatures(slot, found, state.features.version);
    return { policy, checkpoint: found.sha256 };
  }

  /**
   * On logged outcomes that came after those it learned from; of a policy that learns as it goes, on the second half of them.
   * @param asked of whoever waits for it, as Learner.train() has it
   */
  async evaluate(slot: string, deployment: Deployment, asked?: AbortSignal): Promise<Evaluation> {
    const { ledger, slots, learner } = this.#options;
    const { serving, checkpoints, features } = slots.of(slot);
    const { outcomes } = ledger.tally(slot);
    const first = Math.max(0, outcomes - experienceWindow);
    const learned = checkpoints.find(({ sha256 }) => sha256 === deployment.checkpoint)?.outcomes ?? Math.floor((first + outcomes) / 2);
    const [policy, present] = await Promise.all([this.#stateOf(slot, deployment), this.#stateOf(slot, serving)]);
    const job = { kind: "evaluate", policy, serving: present, options: optionsOf(slot, features), after: learned } as const;
    return learner.evaluate(job, ledger.outcomes(slot, first, outcomes), asked);
  }

  async #stateOf(slot: string, { policy, checkpoint }: Deployment): Promise<PolicyState> {
    return { policy, ...(checkpoint !== undefined && { state: await this.#options.checkpoints.bytes(slot, policy, checkpoint) }) };
  }

  /** Undefined when nothing is compared. */
  live(slot: string): LiveComparison | undefined {
    const { contender } = this.#options.slots.of(slot);
    if (contender === undefined) return undefined;
    const { sides, later } = this.#options.ledger.policies(slot, contender.comparison);
    const { verdict, ...figures } = compare(sides, later, { least: Math.min(contender.share, 1 - contender.share) });
    return {
      ...figures,
      contender: summaryOf(sides.left),
      serving: summaryOf(sides.right),
      verdict: verdict === "left" ? "better" : verdict === "right" ? "worse" : verdict,
      ...(contender.role === "trial" && { trial: judgeTrial(sides) }),
    };
  }

  /**
   * One step for a policy: a trial, or from the trial to all.
   * @throws CodedError PROMOTION_REFUSED, SLOT_FROZEN
   */
  async promote(slot: string, deployment: Deployment, automatic: boolean, asked?: AbortSignal): Promise<SlotState> {
    const { slots, ledger } = this.#options;
    const label = labelOf(deployment);
    const state = slots.of(slot);
    if (state.frozen) throw new CodedError("SLOT_FROZEN", `What serves ${slot} is frozen.`, { slot });
    const refuse = (reason: string, figures: object = {}, more?: string) => {
      const message = `${label} is not promoted: ${more === undefined ? reason : `${reason}; ${more}`}.`;
      return new CodedError("PROMOTION_REFUSED", message, { slot, policy: label, reason, ...figures });
    };
    if (isSame(state.serving, deployment)) throw refuse("it serves already");
    if (state.contender && isSame(state.contender.deployment, deployment) && state.contender.role === "trial") {
      const live = this.live(slot) as LiveComparison;
      const result = resultOf(live);
      if (result === "failed") throw refuse("the serving policy does better", { live });
      if (result !== "passed") throw refuse(result, { live }, progressOf(live));
      return this.#conclude(slot, deployment, live, automatic);
    }
    if (state.contender?.role === "trial") throw refuse(`${labelOf(state.contender.deployment)} is on trial`);
    if (isRefused(state, label, ledger.tally(slot).outcomes)) {
      const again =
        deployment.checkpoint === undefined ? `, and is judged anew after ${2 * (state.judged[label] ?? 0)} outcomes of the slot` : "";
      throw refuse(`it was rolled back before${again}`);
    }
    const evaluation = await this.evaluate(slot, deployment, asked);
    const { promote: isPromoted, reason } = evaluation.decision;
    if (!isPromoted) throw refuse(reason, { evaluation }, reason === "not enough data" ? sufficiencyOf(evaluation) : undefined);
    const begun = await slots.change(slot, (present) => {
      if (present.frozen || present.contender?.role === "trial" || !isSame(present.serving, state.serving)) return undefined;
      if (present.features.version !== state.features.version) return undefined;
      const next = beginTrial(present, deployment, ledger.tally(slot).outcomes);
      const data = {
        slot,
        policy: label,
        over: labelOf(present.serving),
        stage: "trial",
        share: next.contender?.share,
        automatic,
        evidence: evaluation,
      };
      return { state: next, tell: { event: "policy:promoted", data } };
    });
    if (begun === undefined) throw refuse("what serves has changed meanwhile");
    return begun;
  }

  /** @throws CodedError ROLLBACK_IMPOSSIBLE */
  async rollBack(slot: string, reason: string): Promise<SlotState> {
    const changed = await this.#rollBack(slot, reason, false);
    if (changed === undefined) throw new CodedError("ROLLBACK_IMPOSSIBLE", `No other policy served ${slot} before.`, { slot });
    return changed;
  }

  /** The next automatic step of a comparison that is under way, if its outcomes say so. */
  async watch(slot: string): Promise<void> {
    const { frozen, contender, serving } = this.#options.slots.of(slot);
    const live = this.live(slot);
    if (frozen || contender === undefined || live === undefined) return;
    if (contender.role === "guard") {
      if (live.verdict === "better") await this.#rollBack(slot, `${labelOf(contender.deployment)} does better`, true, serving, live);
      return;
    }
    const result = resultOf(live);
    if (result === "failed") await this.#rollBack(slot, "it did worse on trial than the serving policy", true, contender.deployment, live);
    else if (result === "passed") await this.#conclude(slot, contender.deployment, live, true);
  }

  async #conclude(slot: string, deployment: Deployment, live: LiveComparison, automatic: boolean): Promise<SlotState> {
    const changed = await this.#options.slots.change(slot, (present) => {
      const { contender } = present;
      if (present.frozen || contender?.role !== "trial" || !isSame(contender.deployment, deployment)) return undefined;
      const next = promote(present, contender, this.#options.ledger.tally(slot).outcomes);
      const data = {
        slot,
        policy: labelOf(deployment),
        over: labelOf(present.serving),
        stage: "serving",
        share: 1 - contender.share,
        automatic,
        evidence: live,
      };
      return { state: next, tell: { event: "policy:promoted", data } };
    });
    return changed ?? this.#options.slots.of(slot);
  }

  /** @param only roll back nothing but this one */
  #rollBack(slot: string, reason: string, automatic: boolean, only?: Deployment, live?: LiveComparison): Promise<SlotState | undefined> {
    return this.#options.slots.change(slot, (present) => {
      const back = rollBack(present, this.#options.ledger.tally(slot).outcomes);
      if (back === undefined || (only && !isSame(back.refused, only))) return undefined;
      const data = {
        slot,
        from: labelOf(back.refused),
        to: labelOf(back.state.serving),
        reason,
        automatic,
        ...(live && { evidence: live }),
      };
      return { state: back.state, tell: { event: "policy:rolled_back", data } };
    });
  }
}

const unknownCheckpoint = (slot: string, policy: string, checkpoint: string, { checkpoints }: SlotState): CodedError => {
  const known = checkpoints.filter((one) => one.policy === policy).map(({ sha256 }) => sha256.slice(0, 12));
  const message = `There is no checkpoint ${checkpoint} of ${policy} in ${slot}; there ${known.length === 0 ? "is none" : `are ${known.join(", ")}`}.`;
  return new CodedError("POLICY_UNKNOWN", message, { slot, policy, checkpoint });
};

const ofOtherFeatures = (slot: string, { policy, sha256, feature_spec }: Checkpoint, present: string): CodedError =>
  new CodedError(
    "POLICY_STATE_INVALID",
    `${labelOf({ policy, checkpoint: sha256 })} was trained under the feature spec ${feature_spec}, and ${slot} has ${present}.`,
    { slot, policy, checkpoint: sha256, feature_spec, present },
  );

const summaryOf = (side: Side) => ({ outcomes: side.outcomes, mean_reward: meanRewardOf(side) });

/** How far a trial is. */
const progressOf = ({ contender, trial }: LiveComparison): string =>
  `it has ${contender.outcomes} outcomes on trial; ${trial?.least_outcomes} are needed, and then as many as tell which of the two is better`;

/** What the confidence sequence says is so; where it says nothing yet, the trial may. */
function resultOf({ verdict, trial }: LiveComparison): Trial["result"] {
  if (verdict === "not enough data") return trial?.result ?? verdict;
  return verdict === "better" ? "passed" : "failed";
}
