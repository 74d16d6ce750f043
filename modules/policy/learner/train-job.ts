/** One training, from nothing, of a policy on the outcomes of a slot. Same seed and same outcomes, same state. */
import { kinds, unknownPolicy } from "../policies/kinds.ts";
import type { Logged } from "./experience.ts";
import type { TrainJob, TrainResult } from "./messages.ts";

/** Rounds of the policy's own length, each going on from the one before. */
const rounds = 3;

export async function trainJob({ policy, options, through }: TrainJob, outcomes: readonly Logged[]): Promise<TrainResult> {
  const kind = kinds[policy];
  if (kind?.train === undefined) throw unknownPolicy(policy);
  const learned = outcomes.filter(({ ordinal }) => ordinal <= through);
  let state: Uint8Array | undefined;
  let report: Readonly<Record<string, number>> = {};
  for (let round = 0; round < rounds; round++) {
    const trained = await kind.train(learned, { ...options, ...(state && { from: state }) });
    state = trained.policy.save();
    report = trained.report;
  }
  return { state: state as Uint8Array, report };
}
