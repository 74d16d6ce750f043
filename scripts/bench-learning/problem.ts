/** What a quality benchmark is: one file in problems/, run once a seed, judged by the mean over the seeds. */

/** Must hold for the mean over the seeds. */
export interface Goal {
  readonly measure: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Problem {
  readonly name: string;
  /** What is learned, and what is compared with what: one line. */
  readonly description: string;
  readonly goals: readonly Goal[];
  /** Seeds it needs at least, if more than the 10 of every problem. */
  readonly seeds?: number;
  /** The figures of one seed, by name: the same seed gives the same figures. */
  run(seed: number): Measures | Promise<Measures>;
}

export type Measures = Readonly<Record<string, number>>;

/** Thrown by run(): the problem cannot be measured here, and why. */
export class Unavailable extends Error {}
