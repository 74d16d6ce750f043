import { CodedError } from "../../../daemon/errors.ts";
import type { Experience } from "../policies/policy.ts";

/** @throws CodedError REQUEST_INVALID for a reward that is no number, or a choice that cannot have been made */
export function checkExperiences(experiences: readonly Experience[]): void {
  for (const [index, { situation, chosen, probability, reward }] of experiences.entries()) {
    const refuse = (reason: string) =>
      new CodedError("REQUEST_INVALID", `Nothing can be learned from experience ${index}: ${reason}`, { index });
    if (!Number.isFinite(reward)) throw refuse("its reward is not a finite number");
    if (!(probability > 0 && probability <= 1)) throw refuse("its probability is not in (0, 1]");
    if (situation.ids[chosen] === undefined) throw refuse("its choice is none of the candidates");
  }
}
