/**
 * What is durable about a slot beside its outcomes: which policy serves it, which other one has a share of its traffic, what
 * served before, and the checkpoints of its trained policies. Pure: each function answers with the next state.
 *
 * 1. One policy serves at any time; at most one other has a share.
 * 2. A trained policy begins with a small share (trial). When it serves, the one before keeps that share (guard), so that a
 *    comparison goes on for as long as it serves.
 * 3. What was rolled back is refused from then on.
 */
import { defaultSpec, type FeatureSpec } from "../features/spec.ts";
import type { RewardDefinition } from "../reward.ts";
import type { OutcomeSource } from "../schema.ts";

/** A policy that can serve: one that learns as it goes, or a checkpoint of a trained one. */
export interface Deployment {
  readonly policy: string;
  /** SHA-256 of the checkpoint. */
  readonly checkpoint?: string;
}

export interface Checkpoint {
  readonly policy: string;
  readonly sha256: string;
  readonly bytes: number;
  /** The outcome of the slot up to which it learned. */
  readonly outcomes: number;
  readonly feature_spec: string;
  readonly seed: number;
  readonly trained_at: string;
  readonly report: Readonly<Record<string, number>>;
}

export interface Contender {
  readonly deployment: Deployment;
  readonly role: "trial" | "guard";
  readonly share: number;
  /** Outcome of the slot after which the comparison began. */
  readonly since: number;
}

export interface SlotState {
  readonly serving: Deployment;
  readonly contender?: Contender;
  /** What served before, the latest last. */
  readonly before: readonly Deployment[];
  readonly refused: readonly string[];
  readonly frozen: boolean;
  /** How its contexts and candidates become numbers. */
  readonly features: FeatureSpec;
  /** Newest first. */
  readonly checkpoints: readonly Checkpoint[];
  readonly reward?: RewardDefinition;
  readonly outcome_from?: OutcomeSource["event"];
  /** Kinds that are trained, or followed in the shadow, and judged. */
  readonly learn: readonly string[];
  /** Outcomes of the slot up to which the learner has done its work. */
  readonly learned: number;
  /** Checkpoints that were judged by themselves once. */
  readonly judged: readonly string[];
  /** What changed last, to be told again if a crash came between the change and its event. */
  readonly announcement?: Announcement;
}

export interface Announcement {
  readonly id: string;
  readonly event: string;
  readonly data: unknown;
}

const smallShare = 0.05;
const mostBefore = 10;
const mostRefused = 50;
export const keptCheckpoints = 10;

/** A slot of which nothing is known yet. @param policy one that needs no proof */
export const newSlot = (policy: string, learn: readonly string[], features = defaultSpec): SlotState => ({
  serving: { policy },
  before: [],
  refused: [],
  frozen: false,
  features,
  checkpoints: [],
  learn,
  learned: 0,
  judged: [],
});

/** How a deployment is called in logs and comparisons. */
export const labelOf = ({ policy, checkpoint }: Deployment): string =>
  checkpoint === undefined ? policy : `${policy}@${checkpoint.slice(0, 12)}`;

export const isSame = (left: Deployment, right: Deployment): boolean => labelOf(left) === labelOf(right);

/** @param outcomes of the slot so far */
export function beginTrial(state: SlotState, deployment: Deployment, outcomes: number): SlotState {
  return { ...state, contender: { deployment, role: "trial", share: smallShare, since: outcomes } };
}

/** The contender serves, and the one that served keeps a share. */
export function promote(state: SlotState, { deployment }: Contender, outcomes: number): SlotState {
  return guarded({ ...state, serving: deployment, before: [...state.before, state.serving].slice(-mostBefore) }, outcomes);
}

/** Ends a trial; else the one before serves again. Undefined when there is nothing to go back to. */
export function rollBack(state: SlotState, outcomes: number): { readonly state: SlotState; readonly refused: Deployment } | undefined {
  const { contender, serving, before } = state;
  if (contender?.role === "trial") return { state: guarded(refuse(state, contender.deployment), outcomes), refused: contender.deployment };
  const previous = before.at(-1);
  if (previous === undefined) return undefined;
  return { state: guarded(refuse({ ...state, serving: previous, before: before.slice(0, -1) }, serving), outcomes), refused: serving };
}

/** With the one before as a guard, if there was one. */
function guarded({ contender: _, ...state }: SlotState, outcomes: number): SlotState {
  const previous = state.before.at(-1);
  return previous === undefined
    ? state
    : { ...state, contender: { deployment: previous, role: "guard", share: smallShare, since: outcomes } };
}

const refuse = (state: SlotState, deployment: Deployment): SlotState => ({
  ...state,
  refused: [...state.refused, labelOf(deployment)].slice(-mostRefused),
});

/**
 * From now on with other features. What was trained for the present ones cannot serve: the latest policy does that learns as
 * it goes, and begins anew from the experience. A comparison under way ends, and what learns as it goes is refused no more.
 * @param usual serves where no such policy served before
 * @param learned outcomes up to which the learner need not do its work again
 */
export function changeFeatures(state: SlotState, features: FeatureSpec, usual: Deployment, learned: number): SlotState {
  const { contender: _, ...rest } = state;
  const served = [...state.before, state.serving].filter(isOnline);
  return {
    ...rest,
    features,
    serving: served.at(-1) ?? usual,
    before: served.slice(0, -1),
    refused: state.refused.filter((label) => label.includes("@")),
    learned,
  };
}

const isOnline = ({ checkpoint }: Deployment): boolean => checkpoint === undefined;

/** Keeps the newest ten, and those that serve, have a share or served before. @returns the state, and what may be deleted */
export function addCheckpoint(state: SlotState, checkpoint: Checkpoint): { readonly state: SlotState; readonly dropped: string[] } {
  const all = [checkpoint, ...state.checkpoints.filter(({ sha256 }) => sha256 !== checkpoint.sha256)];
  const needed = [state.serving, state.contender?.deployment, ...state.before].map((deployment) => deployment?.checkpoint);
  const kept = all.filter(({ sha256 }, index) => index < keptCheckpoints || needed.includes(sha256));
  return { state: { ...state, checkpoints: kept }, dropped: all.filter((one) => !kept.includes(one)).map(({ sha256 }) => sha256) };
}
