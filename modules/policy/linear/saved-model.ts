/** A linear model as bytes and back. */
import type { FeatureSpec } from "../features/spec.ts";
import { packState, unpackState } from "../policies/state.ts";
import type { Block } from "./block.ts";
import { createModel, type LinearModel } from "./model.ts";

interface Header {
  readonly observed: number;
  readonly digest: number;
  readonly noise: number;
  readonly spread: number;
  readonly newcomers: number;
  readonly change: { readonly squared: number; readonly rounds: number; readonly drifts: readonly (readonly [string, number])[] };
  readonly clock: number;
  /** Name, prior variance and clock of each own block, in the order of the vectors after the first two. */
  readonly own: readonly (readonly [string, number, number])[];
}

export function saveModel(policy: string, spec: FeatureSpec, model: LinearModel): Uint8Array {
  const { observed, digest, noise, spread, newcomers, change, shared } = model;
  const own = [...(model.own ?? [])];
  const header: Header = {
    observed,
    digest,
    noise,
    spread,
    newcomers,
    change: { ...change, drifts: [...change.drifts] },
    clock: shared.clock,
    own: own.map(([id, { prior, clock }]) => [id, prior, clock]),
  };
  const blocks: Block[] = [shared, ...own.map(([, block]) => block)];
  return packState(
    policy,
    spec.version,
    header,
    blocks.flatMap(({ mean, variance }) => [mean, variance]),
  );
}

/** @throws CodedError POLICY_STATE_INVALID */
export function loadModel(policy: string, spec: FeatureSpec, bytes: Uint8Array): LinearModel {
  const { header, vectors } = unpackState<Header>(bytes, policy, spec.version);
  const { change, clock, own, ...figures } = header;
  const model = createModel(spec);
  const blockAt = (position: number, prior: number, clock: number): Block => ({
    mean: vectors[2 * position] as Float64Array,
    variance: vectors[2 * position + 1] as Float64Array,
    prior,
    clock,
  });
  return {
    ...model,
    ...figures,
    change: { ...change, drifts: new Map(change.drifts) },
    shared: blockAt(0, model.shared.prior, clock),
    own: model.own && new Map(own.map(([id, prior, clock], position) => [id, blockAt(position + 1, prior, clock)])),
  };
}
