import { loadBackend } from "../neural/backend.ts";
import { critic } from "../neural/critic.ts";
import { checkExperiences } from "../neural/experiences.ts";
import { sliceSize } from "../neural/gradients.ts";
import { type Architecture, initialWeights, networkOf, smallNetwork } from "../neural/network.ts";
import { noMoments } from "../neural/optimiser.ts";
import { neuralPolicy } from "../neural/policy.ts";
import { type PolicyGradientSettings, policyGradientUpdate } from "../neural/policy-gradient-update.ts";
import { loadState, type NeuralState } from "../neural/state.ts";
import { freshTrajectories } from "../neural/trajectories.ts";
import type { PolicyKind, PolicyOptions } from "./policy.ts";

export interface ReinforceSettings extends PolicyGradientSettings {
  readonly architecture: Architecture;
}

const usual: ReinforceSettings = {
  architecture: smallNetwork,
  discount: 0.99,
  trace: 0.95,
  entropyBonus: 0.01,
  learningRate: 1e-3,
  longestGradient: 1,
};

/**
 * REINFORCE with a learned baseline and generalised advantages: for choices that follow one another towards one end. One
 * training is one update, on the whole trajectories that the policy in `from` drew itself with the odds it gives; after it all
 * of them are stale. What is stale, or incomplete, is left out and counted, never learned from.
 *
 * The report has `updates` (1, or 0 where nothing was fresh), `trajectories` and `steps` (learned from), `stale` and `incomplete`
 * (trajectories left out), `loss`, `entropy` (nats), `kl` from the policy before to the one after (nats), `gradient_norm` (before
 * clipping), `mean_return` (of a trajectory).
 */
export function reinforceWith(changes: Partial<ReinforceSettings>): PolicyKind {
  const settings = { ...usual, ...changes };
  const parametersOf = (architecture: Architecture, { spec }: Pick<PolicyOptions, "spec">) => [
    ...networkOf(architecture, spec).parameters,
    ...critic(spec).parameters,
  ];
  // It draws from the distribution that it differentiates: no exploration is mixed in, the entropy bonus keeps it up.
  const serve = (state: NeuralState, options: PolicyOptions) =>
    neuralPolicy({ name: "reinforce", parameters: parametersOf(state.architecture, options), exploration: 0 }, state, options);
  const untrained = (options: PolicyOptions): NeuralState => {
    const parameters = parametersOf(settings.architecture, options);
    return {
      architecture: settings.architecture,
      weights: initialWeights(parameters, options.seed),
      moments: noMoments(parameters),
    };
  };
  const read = (bytes: Uint8Array, options: PolicyOptions) =>
    loadState(bytes, "reinforce", options.spec.version, (architecture) => parametersOf(architecture, options));

  return {
    name: "reinforce",
    create: (options) => serve(untrained(options), options),
    load: (bytes, options) => serve(read(bytes, options), options),
    async train(experiences, { from, signal, ...options }) {
      checkExperiences(experiences);
      const state = from === undefined ? untrained(options) : read(from, options);
      const before = serve(state, options);
      const { fresh, stale, incomplete } = freshTrajectories(experiences, before.odds);
      const counts = { trajectories: fresh.length, steps: fresh.flat().length, stale, incomplete };
      if (fresh.length === 0) return { policy: before, report: { updates: 0, ...counts } };

      const { spec } = options;
      const { tf } = await loadBackend();
      const parameters = parametersOf(state.architecture, options);
      const slicing = { tf, spec, parameters, size: sliceSize(state.architecture), signal };
      const network = networkOf(state.architecture, spec);
      const { state: after, figures } = await policyGradientUpdate(slicing, network, critic(spec), state, fresh, settings);
      return { policy: serve(after, options), report: { updates: 1, ...counts, ...figures } };
    },
  };
}

/** REINFORCE with a small network and the usual settings. */
export const reinforce: PolicyKind = reinforceWith({});
