/** What the learner's worker is asked and answers. Outcomes go to it as the texts that the ledger holds, in small messages. */
import type { Origin, PolicyOptions } from "../policies/policy.ts";

/** A selection with its outcome. */
export interface OutcomeText {
  /** The data of `policy:selected`, as JSON. */
  readonly selected: string;
  readonly reward: number;
  readonly ordinal: number;
  /** 1 where it was rewarded better than usual until then, 0 where worse. */
  readonly desirable: 0 | 1 | null;
}

export interface TrainJob {
  readonly kind: "train";
  readonly policy: string;
  readonly options: PolicyOptions;
}

/** Without a state it begins with nothing, and learns from outcome to outcome. */
export interface PolicyState {
  readonly policy: string;
  readonly state?: Uint8Array;
}

export interface EvaluateJob {
  readonly kind: "evaluate";
  readonly policy: PolicyState;
  /** That it is compared with. */
  readonly serving: PolicyState;
  readonly options: PolicyOptions;
  /** Outcomes after this one are judged. */
  readonly after: number;
}

export type Job = TrainJob | EvaluateJob;

export type ToWorker =
  | { readonly type: "begin"; readonly job: Job }
  | { readonly type: "outcomes"; readonly outcomes: readonly OutcomeText[] }
  | { readonly type: "run" };

export type FromWorker =
  | { readonly type: "done"; readonly result: unknown }
  | { readonly type: "failed"; readonly message: string; readonly code?: string; readonly details?: Record<string, unknown> };

export interface TrainResult {
  readonly state: Uint8Array;
  /** The outcome up to which it learned; later ones were held out. */
  readonly outcomes: number;
  readonly origin: Origin;
  readonly report: Readonly<Record<string, number>>;
}
