/**
 * What a policy is: the contract that all of them keep, held by test/contract/policies.test.ts.
 *
 * A policy turns a situation into the odds of each candidate, and learns from the outcomes of what was drawn from these odds.
 * Choosing is not its work: the module draws, so that the odds it logs are those that it drew from.
 */
import type { SparseRows } from "../features/sparse-rows.ts";
import type { FeatureSpec } from "../features/spec.ts";
import type { Architecture } from "../neural/architecture.ts";
import type { Backend } from "../neural/backend.ts";

/** One of the things to choose from, as it was asked. */
export interface Candidate {
  readonly id: string;
  readonly features?: Readonly<Record<string, unknown>> | undefined;
}

/** What a choice looks like as numbers: made by encode(), in the dimensions of its spec. */
export interface Situation {
  readonly context: Float32Array;
  /** One vector a candidate, in the order asked. */
  readonly candidates: readonly Float32Array[];
  /** For linear models. */
  readonly rows: LinearRows;
  /** Of the candidates. */
  readonly ids: readonly string[];
}

/** Context, candidate and their products: what a linear model sees of a candidate is what is common to all and what describes this one. */
export interface LinearRows {
  /** One row: 1, the context and its waves. */
  readonly common: SparseRows;
  /** One row a candidate: its features and their products with the context. */
  readonly described: SparseRows;
}

export interface Odds {
  /** Of each candidate, in the order given; none is negative, they add up to 1. */
  readonly probabilities: readonly number[];
  /** What the policy thinks of each candidate, in its own unit: higher is better. */
  readonly scores: readonly number[];
  /** Why the candidate at this position, if it is the one: a sentence for people that names the features which weighed most. */
  reason(index: number): string;
}

/** What was asked, what was chosen with which odds, and how it turned out. */
export interface Experience {
  readonly situation: Situation;
  /** Position of the chosen candidate. */
  readonly chosen: number;
  /** That it had when it was chosen. */
  readonly probability: number;
  /** In [-1, 1], after clipping. */
  readonly reward: number;
  /** Whether it turned out better than usual, or worse; absent where it did neither. */
  readonly desirable?: boolean | undefined;
  /** For choices that follow one another towards one end. */
  readonly episode?: { readonly id: string; readonly step: number; readonly last: boolean };
}

/** One learned state of one slot. Same state and situation, same odds. */
export interface Policy {
  readonly name: string;
  /** Changes whenever the same situation could get other odds. */
  readonly version: string;
  /** @param situation of at least one candidate */
  odds(situation: Situation): Odds;
  /** Learns from one outcome as it comes, within microseconds; absent for policies that are trained in batches. */
  observe?(experience: Experience): void;
  /** The whole state: what PolicyKind.load() reads. */
  save(): Uint8Array;
}

export interface PolicyOptions {
  readonly spec: FeatureSpec;
  readonly seed: number;
  /** Of a policy that is a network, when it begins anew; a saved one stays what it is. Default: a small perceptron. */
  readonly network?: Architecture;
}

export interface PolicyKind {
  readonly name: string;
  /** A policy that has not learned anything yet. */
  create(options: PolicyOptions): Policy;
  /** @throws CodedError POLICY_STATE_INVALID when the bytes are corrupt, contain NaN, or are of another policy or spec */
  load(bytes: Uint8Array, options: PolicyOptions): Policy;
  /** A policy that has learned from these experiences too; absent for those that learn by observe(). */
  train?(experiences: readonly Experience[], options: TrainOptions): Promise<Trained>;
  /** What there has to be to train on. */
  readonly needs?: string;
  /** Whether it learns from good and bad outcomes alike, however rare: older ones of the rarer kind would mislead others. */
  readonly balances?: true;
}

export interface TrainOptions extends PolicyOptions {
  /** Saved state to go on from. */
  readonly from?: Uint8Array;
  readonly signal?: AbortSignal;
}

/** By what a policy was trained: the same experiences give the same bits where this is the same. */
export interface Origin {
  readonly network: Architecture;
  readonly backend: Backend["name"];
}

export interface Trained {
  readonly policy: Policy;
  readonly origin: Origin;
  /** Figures of the training: `updates`, which is 0 where there was nothing to learn from, loss, entropy, KL and the like, by name. */
  readonly report: Readonly<Record<string, number>>;
}
