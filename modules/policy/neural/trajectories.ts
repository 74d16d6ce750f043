/** Which experiences REINFORCE may learn from: whole trajectories that the policy being trained chose itself. */
import type { Experience, Odds, Situation } from "../policies/policy.ts";

/** Steps, counted from 0, to the end. A choice without an episode is a trajectory of its own. */
export type Trajectory = readonly Experience[];

export interface Sorted {
  /** In the order in which their first experience came. */
  readonly fresh: readonly Trajectory[];
  /** Trajectories with a choice that had other odds than this policy gives it: another policy's, or of an earlier state. */
  readonly stale: number;
  /** Trajectories with a step missing, doubled or after the end. */
  readonly incomplete: number;
}

/** Odds are logged as they were drawn from; the rest is rounding. */
const tolerance = 1e-6;

/** @param odds of the policy to be trained, which drew with them */
export function freshTrajectories(experiences: readonly Experience[], odds: (situation: Situation) => Odds): Sorted {
  const single = experiences.filter(({ episode }) => episode === undefined).map((experience) => [experience]);
  const episodes = Map.groupBy(
    experiences.filter(({ episode }) => episode !== undefined),
    ({ episode }) => episode?.id,
  );
  const all = [...single, ...[...episodes.values()].map((steps) => steps.toSorted((left, right) => stepOf(left) - stepOf(right)))];
  const complete = all.filter(isComplete);
  const fresh = complete.filter((trajectory) =>
    trajectory.every(
      ({ situation, chosen, probability }) => Math.abs((odds(situation).probabilities[chosen] ?? 0) - probability) <= tolerance,
    ),
  );
  return { fresh, stale: complete.length - fresh.length, incomplete: all.length - complete.length };
}

const stepOf = ({ episode }: Experience): number => episode?.step ?? 0;

const isComplete = (trajectory: Trajectory): boolean =>
  trajectory.every(({ episode }, index) => {
    const isLast = index === trajectory.length - 1;
    return episode === undefined || (episode.step === index && episode.last === isLast);
  });
