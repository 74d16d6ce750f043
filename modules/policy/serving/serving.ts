/** Which policy answers a request: the one that serves the slot, the one that has a share, or the one that was asked for. */
import { createHash } from "node:crypto";
import { CodedError } from "../../../daemon/errors.ts";
import type { ModuleContext } from "../../../daemon/module.ts";
import { type Checkpoints, isUnusable } from "../checkpoints.ts";
import type { FeatureSpec } from "../features/spec.ts";
import type { Ledger } from "../ledger.ts";
import { kinds, onlineKinds, unknownPolicy } from "../policies/kinds.ts";
import type { Policy } from "../policies/policy.ts";
import type { Selected } from "../schema.ts";
import type { OnlinePolicies } from "./online.ts";
import { type Deployment, giveUp, labelOf } from "./slot-state.ts";
import type { Slots } from "./slots.ts";

export interface Answering {
  readonly policy: Policy;
  /** By which it wants situations encoded. */
  readonly spec: FeatureSpec;
  /** What it is called in logs and comparisons. */
  readonly label: string;
  /** The share of the slot's selections that it answers. */
  readonly assigned: number;
  /** The comparison of two policies that its answer is part of. */
  readonly comparison?: NonNullable<Selected["comparison"]>;
}

export interface ServingOptions {
  readonly context: ModuleContext;
  readonly ledger: Ledger;
  readonly slots: Slots;
  readonly online: OnlinePolicies;
  readonly checkpoints: Checkpoints;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class Serving {
  readonly #options: ServingOptions;

  constructor(options: ServingOptions) {
    this.#options = options;
  }

  /**
   * @param episode that the choice is part of
   * @throws CodedError POLICY_NOT_SERVING when another policy is asked for than may answer
   */
  async answering(slot: string, asked?: string | undefined, episode?: string | undefined): Promise<Answering> {
    const { slots, random } = this.#options;
    const { serving, contender, frozen, features: spec } = slots.of(slot);
    if (asked !== undefined && asked !== serving.policy) {
      if (kinds[asked] === undefined) throw unknownPolicy(asked);
      const kind = onlineKinds[asked];
      if (kind === undefined) {
        throw new CodedError("POLICY_NOT_SERVING", `${asked} does not serve ${slot}: it is asked for by name after it was promoted.`, {
          slot,
          policy: asked,
          serving: labelOf(serving),
        });
      }
      return { policy: await this.#options.online.of(slot, kind, spec), spec, label: asked, assigned: 1 };
    }
    if (contender === undefined || frozen || asked !== undefined) return this.#of(slot, serving, 1);
    const number = episode === undefined ? random() : placeOf(`${slot} ${contender.comparison} ${episode}`);
    const isContender = number < contender.share;
    const part = { comparison: { number: contender.comparison, role: isContender ? "contender" : "serving" } } as const;
    return isContender ? this.#of(slot, contender.deployment, contender.share, part) : this.#of(slot, serving, 1 - contender.share, part);
  }

  async #of(slot: string, deployment: Deployment, assigned: number, part?: Pick<Answering, "comparison">): Promise<Answering> {
    const label = labelOf(deployment);
    const { features: spec } = this.#options.slots.of(slot);
    try {
      return { policy: await this.#policyOf(slot, deployment, spec), spec, label, assigned, ...part };
    } catch (error) {
      if (deployment.checkpoint === undefined || !isUnusable(error)) throw error;
      await this.#giveUp(slot, deployment, error);
      return this.answering(slot);
    }
  }

  /** @throws CodedError POLICY_STATE_INVALID when its checkpoint is missing, damaged or of another spec */
  #policyOf(slot: string, { policy, checkpoint }: Deployment, spec: FeatureSpec): Promise<Policy> {
    const { online, checkpoints } = this.#options;
    if (checkpoint !== undefined) return checkpoints.load(slot, policy, checkpoint, spec);
    const kind = onlineKinds[policy];
    if (kind === undefined) throw unknownPolicy(policy);
    return online.of(slot, kind, spec);
  }

  /** A checkpoint that cannot be used is refused, and the policy before it serves; where there is none, the one of a new slot. */
  async #giveUp(slot: string, deployment: Deployment, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.context.log.error({ slot, policy: labelOf(deployment), reason }, "a checkpoint is refused; the policy before it serves");
    await this.#options.slots.change(slot, (state) => {
      const next = giveUp(state, deployment, this.#options.slots.fresh.serving, this.#options.ledger.tally(slot).outcomes);
      if (next === undefined) return undefined;
      const data = { slot, from: labelOf(deployment), to: labelOf(next.serving), automatic: true, reason };
      return { state: next, tell: { event: "policy:rolled_back", data } };
    });
  }
}

/** The same number in [0, 1) for the same text, any equally likely: all choices of an episode are made by one policy. */
const placeOf = (text: string): number => createHash("sha256").update(text).digest().readUIntBE(0, 6) / 2 ** 48;
