/** What a run may use up before it is stopped (invariant 8). */
import { CodedError } from "../../../daemon/errors.ts";

export interface Limits {
  /** Effects: events, commands, tools, choices, outcomes, decisions, waits. */
  readonly steps: number;
  /** Seconds that the run is played. */
  readonly seconds: number;
  /** Runs started by runs, counted from the first, which has depth 1. */
  readonly depth: number;
}

/** For scripted runs; those with models get smaller ones. */
export const defaultLimits: Limits = { steps: 10_000, seconds: 600, depth: 4 };

/** Statements without effect cost little, yet a loop of them must end. */
export const maximumStatements = 1_000_000;

export function limitExceeded(limit: string, allowed: number): CodedError {
  return new CodedError("RUN_LIMIT_EXCEEDED", `The run reached its limit of ${allowed} ${limit}.`, { limit, allowed });
}
