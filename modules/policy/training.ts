/**
 * Training on outcomes as they come: after every 500 outcomes of a slot its learning policies are trained anew on the first
 * four fifths of its experience that is kept, and those that can be judged are shown to the gate.
 *
 * What is done at 500 · k depends on the outcomes up to there alone, and is done again when a crash comes in between: the
 * slot's state says how far it came.
 */

import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { type Checkpoints, isUnusable } from "./checkpoints.ts";
import { experienceWindow, readersLag } from "./experience/store.ts";
import type { Gate } from "./gate.ts";
import type { Learner } from "./learner/learner.ts";
import type { Joined, Ledger } from "./ledger.ts";
import { kinds, onlineKinds } from "./policies/kinds.ts";
import { optionsOf } from "./serving/online.ts";
import {
  addCheckpoint,
  type Checkpoint,
  countAnew,
  isSame,
  isToBeJudged,
  labelOf,
  noteJudged,
  type SlotState,
} from "./serving/slot-state.ts";
import type { Slots } from "./serving/slots.ts";

export const outcomesPerTraining = 500;
/** Outcomes after which a running comparison is looked at. */
const watchEvery = 20;

export interface TrainingOptions {
  readonly context: ModuleContext;
  readonly ledger: Ledger;
  readonly slots: Slots;
  readonly checkpoints: Checkpoints;
  readonly learner: Learner;
  readonly gate: Gate;
}

export class Training implements AsyncDisposable {
  readonly #options: TrainingOptions;
  /** Slots that are being worked on, or wait for it. */
  readonly #busy = new Map<string, Promise<void>>();
  readonly #watched = new Set<string>();
  #stopped = false;

  constructor(options: TrainingOptions) {
    this.#options = options;
  }

  /** Goes on where an earlier process stopped. */
  async resume(): Promise<void> {
    for (const slot of this.#options.slots.names()) await this.#countAnew(slot);
    for (const slot of this.#options.ledger.slots()) this.begin(slot);
  }

  /** Does what is due, if nothing of that is under way. */
  begin(slot: string): void {
    if (this.#stopped || this.#busy.has(slot) || this.#due(slot) === undefined) return;
    const work = this.#work(slot)
      .catch((error: unknown) =>
        this.#options.context.log.error({ error, slot }, "what was learned could not be noted; it is learned again"),
      )
      .finally(() => this.#busy.delete(slot));
    this.#busy.set(slot, work);
  }

  /** What was done last is to be done again, with other features. @returns the outcomes up to which it counts as done */
  again(slot: string): number {
    const { outcomes } = this.#options.ledger.tally(slot);
    return Math.max(0, outcomes - (outcomes % outcomesPerTraining) - outcomesPerTraining);
  }

  /** The outcomes of the slot were. */
  forgotten(slot: string): void {
    const { log } = this.#options.context;
    this.#countAnew(slot).catch((error: unknown) =>
      log.error({ error, slot }, "a slot could not be noted as forgotten; the next start does"),
    );
  }

  noticed(joined: readonly Joined[]): void {
    for (const { slot, ordinal } of joined) {
      if (ordinal % watchEvery === 0) this.#watch(slot);
      if (ordinal % outcomesPerTraining === 0) this.begin(slot);
    }
  }

  /** Resolves once everything that is due is done. */
  async settled(): Promise<void> {
    while (this.#busy.size > 0) await Promise.all(this.#busy.values());
  }

  /**
   * @param asked of whoever waits for it, as Learner.train() has it
   * @returns the checkpoint of a policy trained on the outcomes so far
   * @throws CodedError SLOT_FROZEN, TRAINING_INSUFFICIENT; what Learner.train() throws
   */
  async train(slot: string, policy: string, outcomes: number, asked?: AbortSignal): Promise<Checkpoint> {
    const { context, ledger, slots, checkpoints, learner } = this.#options;
    const { features, frozen, network } = slots.of(slot);
    if (frozen) throw frozenSlot(slot);
    const options = { ...optionsOf(slot, features), ...(network && { network }) };
    const experience = kinds[policy]?.balances
      ? ledger.experience(slot, outcomes)
      : ledger.outcomes(slot, Math.max(0, outcomes - experienceWindow), outcomes);
    const { state, report, origin, outcomes: through } = await learner.train({ kind: "train", policy, options }, experience, asked);
    const sha256 = await checkpoints.keep(state);
    const checkpoint: Checkpoint = {
      policy,
      sha256,
      bytes: state.length,
      // Meanwhile the slot may have been forgotten.
      outcomes: through <= ledger.tally(slot).outcomes ? through : 0,
      feature_spec: features.version,
      ...origin,
      seed: options.seed,
      trained_at: new Date().toISOString(),
      report,
    };
    let dropped: readonly string[] = [];
    const noted = await slots.change(slot, (present) => {
      if (present.frozen) return undefined;
      const added = addCheckpoint(present, checkpoint);
      dropped = added.dropped;
      return { state: added.state, tell: { event: "policy:trained", data: { slot, checkpoint } } };
    });
    if (noted === undefined) throw frozenSlot(slot);
    for (const each of dropped) {
      await checkpoints
        .delete(each)
        .catch((error: unknown) => context.log.warn({ error, sha256: each }, "an old checkpoint is still there"));
    }
    return checkpoint;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#options.learner[Symbol.asyncDispose]();
    await Promise.all(this.#busy.values());
  }

  /** The latest 500 · k that was not worked on. */
  #due(slot: string): number | undefined {
    const { learned, frozen } = this.#options.slots.of(slot);
    const { outcomes } = this.#options.ledger.tally(slot);
    const next = learned + outcomesPerTraining;
    if (frozen || next > outcomes) return undefined;
    // What it would be trained on is gone when it comes too late.
    return outcomes - next > readersLag ? outcomes - (outcomes % outcomesPerTraining) : next;
  }

  async #work(slot: string): Promise<void> {
    const { slots, context } = this.#options;
    for (let due = this.#due(slot); due !== undefined && !this.#stopped; due = this.#due(slot)) {
      const { version } = slots.of(slot).features;
      try {
        for (const policy of slots.of(slot).learn) if (kinds[policy]?.train) await this.#trainIfTaught(slot, policy, due);
        await this.#judge(slot, due);
      } catch (error) {
        if (this.#stopped || slots.of(slot).frozen) return;
        context.log.error({ error, slot, outcomes: due }, "the learner failed; it tries again after the next outcomes");
      }
      const done = due;
      // With other features since, or outcomes that were forgotten, it is to be done again.
      await slots.change(slot, (state) => {
        const stands = state.features.version === version && done <= this.#options.ledger.tally(slot).outcomes;
        return stands ? { state: { ...state, learned: done } } : undefined;
      });
    }
  }

  async #countAnew(slot: string): Promise<void> {
    const { slots, ledger } = this.#options;
    await slots.change(slot, (state) => {
      const next = countAnew(state, ledger.tally(slot).outcomes);
      return next && { state: next };
    });
  }

  /** Where there is nothing to learn yet, there is after later outcomes. */
  async #trainIfTaught(slot: string, policy: string, due: number): Promise<void> {
    await this.train(slot, policy, due).catch((error: unknown) => {
      if (!(error instanceof CodedError && error.code === "TRAINING_INSUFFICIENT")) throw error;
      this.#options.context.log.info({ slot, reason: error.message }, "there is not enough to learn from yet");
    });
  }

  /** Checkpoints as soon as there are enough outcomes that they did not learn from, and what learns as it goes. */
  async #judge(slot: string, due: number): Promise<void> {
    const { gate, slots, context } = this.#options;
    const state = slots.of(slot);
    const shadows = state.learn.filter((name) => onlineKinds[name]).map((policy) => ({ policy }));
    for (const deployment of [...ripe(state, due), ...shadows]) {
      const present = slots.of(slot);
      const label = labelOf(deployment);
      if (present.contender?.role === "trial") return;
      if (isSame(present.serving, deployment) || !isToBeJudged(present, label, due)) continue;
      await gate.promote(slot, deployment, true).catch((error: unknown) => {
        if (isUnusable(error)) context.log.error({ error, slot, policy: label }, "a checkpoint cannot be judged");
        else if (!(error instanceof CodedError && error.code === "PROMOTION_REFUSED")) throw error;
      });
      await slots.change(slot, (now) => ({ state: noteJudged(now, label, due) }));
    }
  }

  /** One look at a time; what comes meanwhile is seen by the next. */
  #watch(slot: string): void {
    const { slots, gate, context } = this.#options;
    if (this.#watched.has(slot) || slots.of(slot).contender === undefined) return;
    this.#watched.add(slot);
    gate
      .watch(slot)
      .catch((error: unknown) => context.log.error({ error, slot }, "a comparison could not be concluded; it is looked at again"))
      .finally(() => this.#watched.delete(slot));
  }
}

const frozenSlot = (slot: string) => new CodedError("SLOT_FROZEN", `${slot} is frozen: nothing is trained until it is unfrozen.`, { slot });

/** Checkpoints that have enough outcomes after what they learned from, the newest of each kind. */
function ripe({ checkpoints, features }: SlotState, outcomes: number): { policy: string; checkpoint: string }[] {
  const old = checkpoints.filter((one) => one.feature_spec === features.version && outcomes - one.outcomes >= outcomesPerTraining);
  return old
    .filter((one, index) => old.findIndex(({ policy }) => policy === one.policy) === index)
    .map(({ policy, sha256 }) => ({ policy, checkpoint: sha256 }));
}
