import { seededRandom } from "../chance.ts";
import { type Architecture, smallNetwork } from "../neural/architecture.ts";
import { loadBackend } from "../neural/backend.ts";
import { critic } from "../neural/critic.ts";
import { checkExperiences } from "../neural/experiences.ts";
import { sliceSize } from "../neural/gradients.ts";
import { initialWeights, networkOf } from "../neural/network.ts";
import { noMoments } from "../neural/optimiser.ts";
import { neuralPolicy } from "../neural/policy.ts";
import { type PolicyGradientFigures, type PolicyGradientSettings, policyGradientUpdate } from "../neural/policy-gradient-update.ts";
import { loadState, type NeuralState } from "../neural/state.ts";
import { type Trajectory, trajectoriesOf } from "../trajectories.ts";
import type { Experience, Policy, PolicyKind, PolicyOptions } from "./policy.ts";

export interface ReinforceSettings extends PolicyGradientSettings {
  /** Updates of one training. */
  readonly updates: number;
  /** c_H at the first update of a training; it falls evenly to that of the last. So nothing is settled before it is known. */
  readonly firstEntropyBonus: number;
  /** Steps of one update, at least: whole trajectories. */
  readonly batch: number;
  /** Share of the odds that is spread over all candidates alike. */
  readonly exploration: number;
}

const usual: ReinforceSettings = {
  discount: 0.99,
  trace: 0.95,
  firstEntropyBonus: 0.1,
  entropyBonus: 0.01,
  greatestWeight: 5,
  learningRate: 1e-3,
  longestGradient: 1,
  updates: 300,
  batch: 64,
  exploration: 0.01,
};

/**
 * REINFORCE with a learned baseline and generalised advantages: for choices that follow one another towards one end. It learns from
 * whole trajectories that any policy drew, itself or another, by the odds that were logged: what it would seldom do itself counts
 * little. What is incomplete is left out and counted.
 *
 * The report has the means over the updates of `loss`, `entropy` (nats), `gradient_norm` (before clipping) and `effective_batch` (how
 * many steps of its own those of an update are worth); `kl` from the policy before to the one after (nats); `updates` (0 where there
 * is nothing to learn from), `trajectories` and `steps` (learned from), `incomplete` (trajectories left out), and the `mean_return`
 * of those learned from.
 */
export function reinforceWith(changes: Partial<ReinforceSettings>): PolicyKind {
  const settings = { ...usual, ...changes };
  const parametersOf = (architecture: Architecture, { spec }: Pick<PolicyOptions, "spec">) => [
    ...networkOf(architecture, spec).parameters,
    ...critic(spec).parameters,
  ];
  const serve = (state: NeuralState, options: PolicyOptions) =>
    neuralPolicy(
      { name: "reinforce", parameters: parametersOf(state.architecture, options), exploration: settings.exploration },
      state,
      options,
    );
  const untrained = (options: PolicyOptions): NeuralState => {
    const { seed, network: architecture = smallNetwork } = options;
    const parameters = parametersOf(architecture, options);
    return { architecture, weights: initialWeights(parameters, seed), moments: noMoments(parameters) };
  };
  const read = (bytes: Uint8Array, options: PolicyOptions) =>
    loadState(bytes, "reinforce", options.spec.version, (architecture) => parametersOf(architecture, options));

  return {
    name: "reinforce",
    needs: "whole episodes, or choices without one",
    create: (options) => serve(untrained(options), options),
    load: (bytes, options) => serve(read(bytes, options), options),
    async train(experiences, { from, signal, ...options }) {
      checkExperiences(experiences);
      const state = from === undefined ? untrained(options) : read(from, options);
      const { tf, name: backend } = await loadBackend();
      const { complete, incomplete } = trajectoriesOf(experiences);
      const steps = complete.flat();
      const counts = { trajectories: complete.length, steps: steps.length, incomplete };

      const origin = { network: state.architecture, backend };
      if (complete.length === 0) return { policy: serve(state, options), origin, report: { updates: 0, ...counts } };

      // Another sequence in each training, the same when it is repeated.
      const random = seededRandom(options.seed + Math.imul(state.moments.updates, 0x9e3779b9));
      const { spec } = options;
      const parameters = parametersOf(state.architecture, options);
      const slicing = { tf, spec, parameters, size: sliceSize(state.architecture), signal };
      const network = networkOf(state.architecture, spec);
      const baseline = critic(spec);
      const sums = { loss: 0, entropy: 0, gradient_norm: 0, effective_batch: 0 };
      let learned = state;
      let batch: readonly Trajectory[] = [];
      for (let update = 0; update < settings.updates; update++) {
        batch = drawn(complete, settings.batch, random);
        const { firstEntropyBonus: first, entropyBonus: last } = settings;
        const entropyBonus = first + ((last - first) * update) / settings.updates;
        const { state: next, figures } = await policyGradientUpdate(slicing, network, baseline, learned, batch, {
          ...settings,
          entropyBonus,
        });
        learned = { ...next, backend };
        for (const name of Object.keys(figures) as (keyof PolicyGradientFigures)[]) sums[name] += figures[name];
      }
      const means = Object.entries(sums).map(([name, sum]) => [name, sum / settings.updates]);
      const [before, policy] = [serve(state, options), serve(learned, options)];
      return {
        policy,
        origin,
        report: {
          ...Object.fromEntries(means),
          kl: divergence(policy, before, batch.flat()),
          updates: settings.updates,
          ...counts,
          mean_return: steps.reduce((sum, { reward }) => sum + reward, 0) / complete.length,
        },
      };
    },
  };
}

/** REINFORCE with a small network and the usual settings. */
export const reinforce: PolicyKind = reinforceWith({});

/** As many trajectories as make so many steps, each with equal odds each time. */
function drawn(all: readonly Trajectory[], steps: number, random: () => number): Trajectory[] {
  const batch: Trajectory[] = [];
  for (let count = 0; count < steps; ) {
    const trajectory = all[Math.floor(random() * all.length)] as Trajectory;
    batch.push(trajectory);
    count += trajectory.length;
  }
  return batch;
}

/** Mean KL(policy‖other) over the situations, nats. */
function divergence(policy: Policy, other: Policy, experiences: readonly Experience[]): number {
  const each = experiences.map(({ situation }) => {
    const others = other.odds(situation).probabilities;
    return policy
      .odds(situation)
      .probabilities.reduce((sum, share, index) => sum + (share === 0 ? 0 : share * Math.log(share / (others[index] as number))), 0);
  });
  return each.reduce((sum, value) => sum + value, 0) / each.length;
}
