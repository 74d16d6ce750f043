/** Rounds that are remembered. */
const memory = 50;
/** Rounds until a change can be noticed, at first and after another: a model that just began to learn is wrong too. */
const rest = 200;
/** Mean squared surprise, in units of its expectation, that is no chance any more. */
const mostSquared = 2.5;
/** Mean surprise of one candidate, in its standard deviations, that is no chance any more. */
const mostDeviations = 5;
/** Candidates that are remembered: those observed last. */
const mostNamed = 256;
/** Outliers count as this many deviations squared. */
const outlier = 25;

export interface ChangeState {
  squared: number;
  rounds: number;
  /** Running mean of the standardised surprises, by candidate. */
  readonly drifts: Map<string, number>;
}

export const createChangeState = (): ChangeState => ({ squared: 1, rounds: 0, drifts: new Map() });

/**
 * Whether rewards have ceased to be what the model expects: the surprises are greater than they should be, or those of one
 * candidate keep to one side. Both are exponentially weighted means (EWMA control charts, Roberts 1959).
 * @param surprise in standard deviations
 */
export function hasChanged(state: ChangeState, candidate: string, surprise: number): boolean {
  state.rounds++;
  state.squared += (Math.min(surprise ** 2, outlier) - state.squared) / memory;
  const before = state.drifts.get(candidate) ?? 0;
  const drift = before + (surprise - before) / memory;
  state.drifts.delete(candidate);
  state.drifts.set(candidate, drift);
  if (state.drifts.size > mostNamed) state.drifts.delete(state.drifts.keys().next().value as string);
  const deviation = Math.sqrt(1 / (2 * memory - 1));
  if (state.rounds < rest || (state.squared < mostSquared && Math.abs(drift) < mostDeviations * deviation)) return false;
  state.rounds = 0;
  state.squared = 1;
  state.drifts.clear();
  return true;
}
