/** One training of a policy on the outcomes of a slot. Same seed and same outcomes, same state. */
import { kinds, onPolicy, unknownPolicy } from "../policies/kinds.ts";
import { evaluateJob } from "./evaluate-job.ts";
import type { Logged } from "./experience.ts";
import type { TrainJob, TrainResult } from "./messages.ts";

/** Rounds of the policy's own length, each going on from the one before. */
const rounds = 3;

/** The report has the training's figures, and those on the outcomes that were held out. */
export async function trainJob({ policy, options, from, through }: TrainJob, outcomes: readonly Logged[]): Promise<TrainResult> {
  const kind = kinds[policy];
  if (kind?.train === undefined) throw unknownPolicy(policy);
  const learned = outcomes.filter(({ ordinal }) => ordinal <= through);
  let trained = await kind.train(learned, { ...options, ...(from && { from }) });
  // What chose by the state before the first round is stale after it.
  const more = onPolicy.includes(policy) ? 0 : rounds - 1;
  for (let round = 0; round < more; round++) trained = await kind.train(learned, { ...options, from: trained.policy.save() });
  const state = trained.policy.save();
  const itself = { policy, state };
  const { dr, effective_sample_size, reward_calibration_error, regret } = evaluateJob(
    { kind: "evaluate", policy: itself, serving: itself, options, after: through },
    outcomes,
  );
  const heldOut = dr && { value: dr.value, value_low: dr.interval[0], effective_sample_size, reward_calibration_error, regret };
  return { state, report: { ...trained.report, ...(heldOut as Readonly<Record<string, number>> | undefined) } };
}
