/**
 * What is durable about a slot beside its outcomes: which policy serves it, which other one has a share of its traffic, what
 * served before, and the checkpoints of its trained policies. Pure: each function answers with the next state.
 *
 * 1. One policy serves at any time; at most one other has a share.
 * 2. A trained policy begins with a small share (trial). When it serves, the one before keeps that share (guard), so that a
 *    comparison goes on for as long as it serves.
 * 3. A checkpoint that was rolled back is refused from then on. What learns as it goes is another policy after twice the
 *    outcomes, and is judged anew.
 * 4. Every comparison has its number, so that no selection counts in another one.
 */
import { defaultSpec, type FeatureSpec } from "../features/spec.ts";
import type { Architecture } from "../neural/architecture.ts";
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
  /** What it is, and what computed it; unknown of older ones. */
  readonly network?: Architecture;
  readonly backend?: string;
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
  /** Of the comparison: selections that are part of it say so. */
  readonly comparison: number;
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
  /** What its networks are like when they are trained; without it they are small perceptrons. */
  readonly network?: Architecture;
  /** Newest first. */
  readonly checkpoints: readonly Checkpoint[];
  readonly reward?: RewardDefinition;
  readonly outcome_from?: OutcomeSource["event"];
  /** Kinds that are trained, or followed in the shadow, and judged. */
  readonly learn: readonly string[];
  /** Outcomes of the slot up to which the learner has done its work. */
  readonly learned: number;
  /** After how many outcomes of the slot a deployment was last judged or refused, by label. */
  readonly judged: Readonly<Record<string, number>>;
  /** Comparisons that were begun so far. */
  readonly comparisons: number;
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
const mostJudged = 50;
export const keptCheckpoints = 10;

/** A slot of which nothing is known yet. @param policy one that needs no proof */
export const newSlot = (policy: string, learn: readonly string[], features = defaultSpec, network?: Architecture): SlotState => ({
  serving: { policy },
  before: [],
  refused: [],
  frozen: false,
  features,
  ...(network && { network }),
  checkpoints: [],
  learn,
  learned: 0,
  judged: {},
  comparisons: 0,
});

/** How a deployment is called in logs and comparisons. */
export const labelOf = ({ policy, checkpoint }: Deployment): string =>
  checkpoint === undefined ? policy : `${policy}@${checkpoint.slice(0, 12)}`;

export const isSame = (left: Deployment, right: Deployment): boolean => labelOf(left) === labelOf(right);

/** @param outcomes of the slot so far */
export const beginTrial = (state: SlotState, deployment: Deployment, outcomes: number): SlotState =>
  contending(state, { deployment, role: "trial" }, outcomes);

/** A comparison that is under way begins anew: what was known of it counts no more. */
export const compareAnew = (state: SlotState, outcomes: number): SlotState =>
  state.contender === undefined ? state : contending(state, state.contender, outcomes);

/**
 * Where the slot has fewer outcomes than it had, since they were forgotten or the log is another one: what was done after so many of
 * them is done anew, and checkpoints learned from none of those that are counted now.
 * @returns undefined where nothing changes
 */
export function countAnew(state: SlotState, outcomes: number): SlotState | undefined {
  const { learned, checkpoints, judged, contender } = state;
  const counted = [learned, contender?.since ?? 0, ...checkpoints.map((one) => one.outcomes), ...Object.values(judged)];
  if (counted.every((one) => one <= outcomes)) return undefined;
  return compareAnew({ ...state, learned: 0, judged: {}, checkpoints: checkpoints.map((one) => ({ ...one, outcomes: 0 })) }, outcomes);
}

function contending(state: SlotState, { deployment, role }: Pick<Contender, "deployment" | "role">, outcomes: number): SlotState {
  const comparison = state.comparisons + 1;
  return { ...state, comparisons: comparison, contender: { deployment, role, share: smallShare, since: outcomes, comparison } };
}

/** The contender serves, and the one that served keeps a share. */
export function promote(state: SlotState, { deployment }: Contender, outcomes: number): SlotState {
  return guarded({ ...state, serving: deployment, before: [...state.before, state.serving].slice(-mostBefore) }, outcomes);
}

/** Ends a trial; else the one before serves again. Undefined when there is nothing to go back to. */
export function rollBack(state: SlotState, outcomes: number): { readonly state: SlotState; readonly refused: Deployment } | undefined {
  const { contender, serving, before } = state;
  if (contender?.role === "trial")
    return { state: guarded(refuse(state, labelOf(contender.deployment), outcomes), outcomes), refused: contender.deployment };
  const previous = before.at(-1);
  if (previous === undefined) return undefined;
  return {
    state: guarded(refuse({ ...state, serving: previous, before: before.slice(0, -1) }, labelOf(serving), outcomes), outcomes),
    refused: serving,
  };
}

/** With the one before as a guard, if there was one. */
function guarded({ contender: _, ...state }: SlotState, outcomes: number): SlotState {
  const previous = state.before.at(-1);
  return previous === undefined ? state : contending(state, { deployment: previous, role: "guard" }, outcomes);
}

/**
 * One that cannot be used is refused. The one before serves then, or where there is none the usual one; beside it, the serving policy
 * goes on alone. Undefined when it neither serves nor has a share.
 */
export function giveUp(state: SlotState, deployment: Deployment, usual: Deployment, outcomes: number): SlotState | undefined {
  const { contender, ...alone } = state;
  if (contender !== undefined && isSame(contender.deployment, deployment)) return refuse(alone, labelOf(deployment), outcomes);
  if (!isSame(state.serving, deployment)) return undefined;
  return rollBack(alone, outcomes)?.state ?? refuse({ ...alone, serving: usual }, labelOf(deployment), outcomes);
}

const refuse = (state: SlotState, label: string, outcomes: number): SlotState => ({
  ...noteJudged(state, label, outcomes),
  refused: [...state.refused.filter((other) => other !== label), label].slice(-mostRefused),
});

export function noteJudged(state: SlotState, label: string, outcomes: number): SlotState {
  const { [label]: _, ...others } = state.judged;
  return { ...state, judged: Object.fromEntries([...Object.entries(others).slice(1 - mostJudged), [label, outcomes]]) };
}

/** A checkpoint is judged by itself once; what learns as it goes, again after twice the outcomes. */
export function isToBeJudged({ judged }: SlotState, label: string, outcomes: number): boolean {
  const before = judged[label];
  return before === undefined || (!isOfCheckpoint(label) && outcomes >= 2 * before);
}

/** Was it rolled back, and is it still what it was? */
export const isRefused = (state: SlotState, label: string, outcomes: number): boolean =>
  state.refused.includes(label) && (isOfCheckpoint(label) || !isToBeJudged(state, label, outcomes));

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
    refused: state.refused.filter(isOfCheckpoint),
    judged: Object.fromEntries(Object.entries(state.judged).filter(([label]) => isOfCheckpoint(label))),
    learned,
  };
}

const isOfCheckpoint = (label: string): boolean => label.includes("@");
const isOnline = ({ checkpoint }: Deployment): boolean => checkpoint === undefined;

/** Keeps the newest ten, and those that serve, have a share or served before. @returns the state, and what may be deleted */
export function addCheckpoint(state: SlotState, checkpoint: Checkpoint): { readonly state: SlotState; readonly dropped: string[] } {
  const all = [checkpoint, ...state.checkpoints.filter(({ sha256 }) => sha256 !== checkpoint.sha256)];
  const needed = [state.serving, state.contender?.deployment, ...state.before].map((deployment) => deployment?.checkpoint);
  const kept = all.filter(({ sha256 }, index) => index < keptCheckpoints || needed.includes(sha256));
  return { state: { ...state, checkpoints: kept }, dropped: all.filter((one) => !kept.includes(one)).map(({ sha256 }) => sha256) };
}
