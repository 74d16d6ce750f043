/**
 * What serves a slot changes here alone (invariant 9), and only so:
 *
 * 1. A policy begins a trial, with 5 % of the selections, when the evaluation on logged outcomes that it did not learn from
 *    says that it is better than the serving one. Every checkpoint is judged once by itself; whoever asks may judge again.
 * 2. After 100 outcomes of its own its mean reward has to be at least that of the serving policy over the same time: then it
 *    serves all selections but 5 %, which stay with the one before.
 * 3. As soon as the comparison says that the other is better, for as long as it goes on, it is rolled back and refused.
 * 4. A frozen slot stays as it is, but for a rollback that somebody asks for.
 */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import type { Checkpoints } from "./checkpoints.ts";
import { compareSequentially, type SequentialVerdict } from "./evaluation/sequential.ts";
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
  type Contender,
  type Deployment,
  isSame,
  labelOf,
  promote,
  rollBack,
  type SlotState,
} from "./serving/slot-state.ts";
import type { Slots } from "./serving/slots.ts";

/** Outcomes of its own that a policy on trial needs. */
const trialOutcomes = 100;

/** How the contender does beside the serving policy. */
export interface LiveComparison extends Omit<SequentialVerdict, "verdict"> {
  readonly contender: { readonly outcomes: number; readonly mean_reward: number };
  readonly serving: { readonly outcomes: number; readonly mean_reward: number };
  readonly verdict: "better" | "worse" | "not enough data";
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
   * The deployment that is meant: by a kind's name its newest checkpoint, or a checkpoint by the beginning of its hash.
   * @throws CodedError POLICY_UNKNOWN; POLICY_STATE_INVALID for one that was trained under another feature spec
   */
  deploymentOf(slot: string, policy: string, checkpoint?: string): Deployment {
    if (checkpoint === undefined && onlineKinds[policy] !== undefined) return { policy };
    const state = this.#options.slots.of(slot);
    const asked = state.checkpoints.filter((one) => one.policy === policy && one.sha256.startsWith(checkpoint ?? ""));
    const found = asked.find((one) => one.feature_spec === state.features.version) ?? asked[0];
    if (found === undefined) throw unknownPolicy(checkpoint === undefined ? policy : `${policy}@${checkpoint}`);
    if (found.feature_spec !== state.features.version) throw ofOtherFeatures(slot, found, state.features.version);
    return { policy, checkpoint: found.sha256 };
  }

  /** On logged outcomes that came after those it learned from; of a policy that learns as it goes, on the second half of them. */
  async evaluate(slot: string, deployment: Deployment): Promise<Evaluation> {
    const { ledger, slots, learner } = this.#options;
    const { serving, checkpoints, features } = slots.of(slot);
    const { outcomes } = ledger.tally(slot);
    const first = Math.max(0, outcomes - experienceWindow);
    const learned = checkpoints.find(({ sha256 }) => sha256 === deployment.checkpoint)?.outcomes ?? Math.floor((first + outcomes) / 2);
    const [policy, present] = await Promise.all([this.#stateOf(deployment), this.#stateOf(serving)]);
    const job = { kind: "evaluate", policy, serving: present, options: optionsOf(slot, features), after: learned } as const;
    return learner.evaluate(job, ledger.outcomes(slot, first, outcomes));
  }

  async #stateOf({ policy, checkpoint }: Deployment): Promise<PolicyState> {
    return { policy, ...(checkpoint !== undefined && { state: await this.#options.checkpoints.bytes(checkpoint) }) };
  }

  /** Undefined when nothing is compared. */
  live(slot: string): LiveComparison | undefined {
    const { serving, contender } = this.#options.slots.of(slot);
    return contender && compare(this.#options.ledger, slot, serving, contender);
  }

  /**
   * One step for a policy: a trial, or from the trial to all.
   * @throws CodedError PROMOTION_REFUSED, SLOT_FROZEN
   */
  async promote(slot: string, deployment: Deployment, automatic: boolean): Promise<SlotState> {
    const { slots, ledger } = this.#options;
    const label = labelOf(deployment);
    const state = slots.of(slot);
    if (state.frozen) throw new CodedError("SLOT_FROZEN", `What serves ${slot} is frozen.`, { slot });
    const refuse = (reason: string, figures: object = {}) =>
      new CodedError("PROMOTION_REFUSED", `${label} is not promoted: ${reason}.`, { slot, policy: label, reason, ...figures });
    if (isSame(state.serving, deployment)) throw refuse("it serves already");
    if (state.contender && isSame(state.contender.deployment, deployment) && state.contender.role === "trial") {
      const live = this.live(slot) as LiveComparison;
      if (!holds(live))
        throw refuse(live.contender.outcomes < trialOutcomes ? "not enough data" : "the serving policy does better", { live });
      return this.#conclude(slot, deployment, live, automatic);
    }
    if (state.contender?.role === "trial") throw refuse(`${labelOf(state.contender.deployment)} is on trial`);
    if (state.refused.includes(label)) throw refuse("it was rolled back before");
    const evaluation = await this.evaluate(slot, deployment);
    if (!evaluation.decision.promote) throw refuse(evaluation.decision.reason, { evaluation });
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
    const hasFailed = live.verdict === "worse" || (live.contender.outcomes >= trialOutcomes && !holds(live));
    if (hasFailed) await this.#rollBack(slot, "it did worse on trial than the serving policy", true, contender.deployment, live);
    else if (holds(live)) await this.#conclude(slot, contender.deployment, live, true);
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

const ofOtherFeatures = (slot: string, { policy, sha256, feature_spec }: Checkpoint, present: string): CodedError =>
  new CodedError(
    "POLICY_STATE_INVALID",
    `${labelOf({ policy, checkpoint: sha256 })} was trained under the feature spec ${feature_spec}, and ${slot} has ${present}.`,
    { slot, policy, checkpoint: sha256, feature_spec, present },
  );

const holds = ({ contender, serving, verdict }: LiveComparison): boolean =>
  verdict === "better" || (verdict !== "worse" && contender.outcomes >= trialOutcomes && contender.mean_reward >= serving.mean_reward);

function compare(ledger: Ledger, slot: string, serving: Deployment, { deployment, share, since }: Contender): LiveComparison {
  const [other, present] = [labelOf(deployment), labelOf(serving)];
  // What was asked for by name, or chosen under another split, is no part of it.
  const fair = (label: string, assigned: number) =>
    (label === other && Math.abs(assigned - share) < 1e-9) || (label === present && Math.abs(assigned - (1 - share)) < 1e-9);
  const served = ledger.served(slot, since).filter((one) => fair(one.deployment, one.assigned));
  const meanOf = (label: string) => {
    const rewards = served.filter((one) => one.deployment === label).map(({ reward }) => reward);
    return { outcomes: rewards.length, mean_reward: rewards.reduce((sum, reward) => sum + reward, 0) / Math.max(1, rewards.length) };
  };
  const compared = served.map(
    ({ deployment: label, assigned, reward }) => ({ side: label === other ? "left" : "right", odds: assigned, reward }) as const,
  );
  const { verdict, ...figures } = compareSequentially(compared, Math.min(share, 1 - share));
  return {
    ...figures,
    contender: meanOf(other),
    serving: meanOf(present),
    verdict: verdict === "left" ? "better" : verdict === "right" ? "worse" : verdict,
  };
}
