/** One training of a policy on the outcomes of a slot. Same seed and same outcomes, same state. */
import { CodedError } from "../../../daemon/errors.ts";
import { kinds, unknownPolicy } from "../policies/kinds.ts";
import type { PolicyKind } from "../policies/policy.ts";
import { evaluateJob } from "./evaluate-job.ts";
import type { Logged } from "./experience.ts";
import type { TrainJob, TrainResult } from "./messages.ts";

/** The first part is learned from, the rest is held out to measure what was learned. */
const learnedShare = 0.8;

/**
 * The report has the training's figures, and those on the outcomes that were held out.
 * @param outcomes in order
 * @throws CodedError TRAINING_INSUFFICIENT when they teach nothing
 */
export async function trainJob({ policy, options }: TrainJob, outcomes: readonly Logged[]): Promise<TrainResult> {
  const kind = kinds[policy];
  if (kind?.train === undefined) throw unknownPolicy(policy);
  const learned = outcomes.slice(0, Math.floor(learnedShare * outcomes.length));
  const through = learned.at(-1)?.ordinal ?? 0;
  const trained = await kind.train(learned, options);
  if (trained.report.updates === 0) throw insufficient(kind, learned.length, trained.report);
  const state = trained.policy.save();
  const itself = { policy, state };
  const { dr, effective_sample_size, reward_calibration_error, regret } = evaluateJob(
    { kind: "evaluate", policy: itself, serving: itself, options, after: through },
    outcomes,
  );
  const heldOut = dr && {
    value: dr.value,
    value_low: dr.interval[0],
    ...(effective_sample_size !== undefined && { effective_sample_size }),
    ...(reward_calibration_error !== undefined && { reward_calibration_error }),
    ...(regret !== undefined && { regret }),
  };
  return { state, outcomes: through, origin: trained.origin, report: { ...trained.report, ...heldOut } };
}

/** The figures of a report that tell what there was to learn from; the others tell how it was learned. */
const counted = ["desirable", "undesirable", "trajectories", "incomplete"];

function insufficient({ name, needs }: PolicyKind, outcomes: number, found: Readonly<Record<string, number>>): CodedError {
  const counts = counted.filter((figure) => figure in found).map((figure) => `${figure} ${found[figure]}`);
  const message = `${name} needs ${needs}; of the ${outcomes} outcomes that it may learn from (the first four fifths): ${counts.join(", ")}.`;
  return new CodedError("TRAINING_INSUFFICIENT", message, { policy: name, outcomes, ...found });
}
