/** A linear model as bytes and back. */
import { z } from "zod";
import type { FeatureSpec } from "../features/spec.ts";
import { packState, refusedState, unpackState } from "../policies/state.ts";
import type { Block } from "./block.ts";
import { createModel, type LinearModel } from "./model.ts";

const header = z.object({
  observed: z.int(),
  digest: z.int(),
  noiseVariance: z.number().positive(),
  spread: z.number(),
  newcomers: z.int(),
  change: z.object({ squared: z.number(), rounds: z.int(), drifts: z.array(z.tuple([z.string(), z.number()])) }),
  /** Of the shared block. */
  clock: z.int(),
  /** Name, prior variance and clock of each own block, in the order of the vectors after the first two. */
  own: z.array(z.tuple([z.string(), z.number(), z.int()])),
});

export function saveModel(policy: string, spec: FeatureSpec, model: LinearModel): Uint8Array {
  const { observed, digest, noiseVariance, spread, newcomers, change, shared } = model;
  const own = [...(model.own ?? [])];
  const written: z.input<typeof header> = {
    observed,
    digest,
    noiseVariance,
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
    written,
    blocks.flatMap(({ mean, variance }) => [mean, variance]),
  );
}

/** @throws CodedError POLICY_STATE_INVALID */
export function loadModel(policy: string, spec: FeatureSpec, bytes: Uint8Array): LinearModel {
  const { header: written, vectors } = unpackState<unknown>(bytes, policy, spec.version);
  const read = header.safeParse(written);
  if (!read.success) throw refusedState(policy, spec.version, "without the figures of a linear model");
  const { change, clock, own, ...figures } = read.data;
  const model = createModel(spec);
  const lengths = [model.layout.length, ...own.map(() => model.layout.candidate)].flatMap((length) => [length, length]);
  if (lengths.join() !== vectors.map(({ length }) => length).join()) throw refusedState(policy, spec.version, "of other dimensions");
  const blockAt = (position: number, prior: number, since: number): Block => ({
    mean: vectors[2 * position] as Float64Array,
    variance: vectors[2 * position + 1] as Float64Array,
    prior,
    clock: since,
  });
  return {
    ...model,
    ...figures,
    change: { ...change, drifts: new Map(change.drifts) },
    shared: blockAt(0, model.shared.prior, clock),
    own: model.own && new Map(own.map(([id, prior, since], position) => [id, blockAt(position + 1, prior, since)])),
  };
}
