/** All that a trained policy remembers, and its bytes: format, feature spec, architecture, backend, shapes and SHA-256 stand before the numbers. */
import { packState, refusedState, unpackState } from "../policies/state.ts";
import { type Architecture, architecture as knownArchitecture } from "./architecture.ts";
import type { Backend } from "./backend.ts";
import { type Parameter, sizeOf, type Weights } from "./network.ts";
import type { Moments } from "./optimiser.ts";

export interface NeuralState {
  readonly architecture: Architecture;
  readonly weights: Weights;
  readonly moments: Moments;
  /** What computed its last update. */
  readonly backend?: Backend["name"] | undefined;
}

interface Header {
  readonly architecture: Architecture;
  readonly backend?: Backend["name"] | undefined;
  readonly updates: number;
  readonly shapes: readonly (readonly number[])[];
}

export function saveState(policy: string, spec: string, parameters: readonly Parameter[], state: NeuralState): Uint8Array {
  const { architecture, backend, weights, moments } = state;
  const header: Header = { architecture, backend, updates: moments.updates, shapes: parameters.map(({ shape }) => shape) };
  const vectors = [...weights, ...moments.first, ...moments.second];
  return packState(
    policy,
    spec,
    header,
    vectors.map((vector) => Float64Array.from(vector)),
  );
}

/**
 * @param parametersOf what a state of this architecture is made of
 * @throws CodedError POLICY_STATE_INVALID when the bytes are corrupt, contain NaN, or are of another policy, spec or shape
 */
export function loadState(
  bytes: Uint8Array,
  policy: string,
  spec: string,
  parametersOf: (architecture: Architecture) => readonly Parameter[],
): NeuralState {
  const { header, vectors } = unpackState<Header>(bytes, policy, spec);
  const known = knownArchitecture.safeParse(header.architecture).data;
  if (known === undefined) throw refusedState(policy, spec, "of a network that cannot serve");
  const parameters = parametersOf(known);
  const groups = 3;
  const fits = vectors.every(({ length }, index) => length === sizeOf(parameters[index % parameters.length]?.shape ?? []));
  if (!fits || vectors.length !== groups * parameters.length) {
    throw refusedState(policy, spec, "of another shape");
  }
  const [weights = [], first = [], second = []] = Array.from({ length: groups }, (_, group) =>
    vectors.slice(group * parameters.length, (group + 1) * parameters.length).map((vector) => Float32Array.from(vector)),
  );
  // Finite as doubles, too large as what they become.
  if ([weights, first, second].flat().some((vector) => vector.some((value) => !Number.isFinite(value)))) {
    throw refusedState(policy, spec, "not made of finite numbers");
  }
  const { backend, updates } = header;
  return { architecture: known, backend, weights, moments: { updates, first, second } };
}
