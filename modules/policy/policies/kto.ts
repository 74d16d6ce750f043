import { seededRandom } from "../chance.ts";
import { smallNetwork } from "../neural/architecture.ts";
import { loadBackend } from "../neural/backend.ts";
import { balancedBatch, judgedOf } from "../neural/classes.ts";
import { checkExperiences } from "../neural/experiences.ts";
import { sliceSize } from "../neural/gradients.ts";
import { type KtoFigures, type KtoUpdateSettings, ktoUpdate } from "../neural/kto-update.ts";
import { initialWeights, networkOf } from "../neural/network.ts";
import { noMoments } from "../neural/optimiser.ts";
import { neuralPolicy } from "../neural/policy.ts";
import { loadState, type NeuralState } from "../neural/state.ts";
import type { PolicyKind, PolicyOptions } from "./policy.ts";

export interface KtoSettings extends KtoUpdateSettings {
  /** Updates of one training. */
  readonly updates: number;
  /** Choices of one update, half of either class; of a transformer, which takes longer over each, a quarter of it. */
  readonly batch: number;
  /** Share of the odds that is spread over all candidates alike. */
  readonly exploration: number;
}

const usual: KtoSettings = {
  beta: 0.1,
  weights: { desirable: 1, undesirable: 1 },
  greatestWeight: 20,
  learningRate: 1e-3,
  longestGradient: 1,
  updates: 300,
  batch: 64,
  exploration: 0.01,
};

/**
 * KTO (Ethayarajh et al. 2024, arXiv 2402.01306): learns from logged choices of any policy, told only which outcomes were
 * desirable. The reference is the policy that a training begins with, and stays for all of it: one that has learned nothing
 * gives equal odds. What it learns from counts by the ratio of the odds that the policy gives it now to those that were logged, so
 * that neither what was logged most often nor a context in which all outcomes are bad decides what is learned.
 *
 * The report has the means over the updates of `loss`, `entropy` (nats), `kl` to the reference (nats), `gradient_norm` (before
 * clipping); `updates` (0 where a class is empty), `desirable` and `undesirable` (how many experiences), `effective_batch` (different
 * experiences of one update).
 */
export function ktoWith(changes: Partial<KtoSettings>): PolicyKind {
  const settings = { ...usual, ...changes };
  const serve = (state: NeuralState, options: PolicyOptions) => {
    const { parameters } = networkOf(state.architecture, options.spec);
    return neuralPolicy({ name: "kto", parameters, exploration: settings.exploration }, state, options);
  };
  const untrained = ({ spec, seed, network = smallNetwork }: PolicyOptions): NeuralState => {
    const { parameters } = networkOf(network, spec);
    return { architecture: network, weights: initialWeights(parameters, seed), moments: noMoments(parameters) };
  };
  const read = (bytes: Uint8Array, { spec }: PolicyOptions) =>
    loadState(bytes, "kto", spec.version, (architecture) => networkOf(architecture, spec).parameters);

  return {
    name: "kto",
    balances: true,
    needs: "choices of different candidates, outcomes that were better than usual, and others that were worse",
    create: (options) => serve(untrained(options), options),
    load: (bytes, options) => serve(read(bytes, options), options),
    async train(experiences, { from, signal, ...options }) {
      checkExperiences(experiences);
      let state = from === undefined ? untrained(options) : read(from, options);
      const { weights: reference } = state;
      const all = judgedOf(experiences);
      // Another sequence in each training, the same when it is repeated.
      const random = seededRandom(options.seed + Math.imul(state.moments.updates, 0x9e3779b9));
      const network = networkOf(state.architecture, options.spec);
      const { tf, name: backend } = await loadBackend();
      const slicing = { tf, spec: options.spec, parameters: network.parameters, size: sliceSize(state.architecture), signal };
      const sums = { loss: 0, entropy: 0, kl: 0, gradient_norm: 0, effective_batch: 0 };
      const size = state.architecture.kind === "transformer" ? settings.batch / 4 : settings.batch;
      let updates = 0;
      for (; updates < settings.updates; updates++) {
        const batch = balancedBatch(all, size, random);
        if (batch === undefined) break;
        const { state: next, figures } = await ktoUpdate(slicing, network, state, reference, batch, settings);
        state = { ...next, backend };
        for (const name of Object.keys(figures) as (keyof KtoFigures)[]) sums[name] += figures[name];
        sums.effective_batch += new Set(batch).size;
      }
      const means = Object.entries(sums).map(([name, sum]) => [name, updates === 0 ? 0 : sum / updates]);
      const desirable = all.filter((each) => each.desirable).length;
      return {
        policy: serve(state, options),
        origin: { network: state.architecture, backend },
        report: { ...Object.fromEntries(means), updates, desirable, undesirable: all.length - desirable },
      };
    },
  };
}

/** KTO with a small network and the usual settings. */
export const kto: PolicyKind = ktoWith({});
