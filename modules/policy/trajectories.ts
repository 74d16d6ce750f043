/** Choices that follow one another towards one end, put together from the log. */
import type { Experience } from "./policies/policy.ts";

/** Steps, counted from 0, to the end. A choice without an episode is a trajectory of its own. */
export type Trajectory<Step extends Experience = Experience> = readonly Step[];

export interface Sorted<Step extends Experience> {
  /** In the order in which their first experience came. */
  readonly complete: readonly Trajectory<Step>[];
  /** Trajectories with a step missing, doubled or after the end. */
  readonly incomplete: number;
}

export function trajectoriesOf<Step extends Experience>(experiences: readonly Step[]): Sorted<Step> {
  const all = [...Map.groupBy(experiences, (experience) => experience.episode?.id ?? experience).values()].map((steps) =>
    steps.toSorted((left, right) => stepOf(left) - stepOf(right)),
  );
  const complete = all.filter(isComplete);
  return { complete, incomplete: all.length - complete.length };
}

const stepOf = ({ episode }: Experience): number => episode?.step ?? 0;

const isComplete = (trajectory: Trajectory): boolean =>
  trajectory.every(({ episode }, index) => {
    const isLast = index === trajectory.length - 1;
    return episode === undefined || (episode.step === index && episode.last === isLast);
  });
