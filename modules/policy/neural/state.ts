/** All that a trained policy remembers, and its bytes: format, feature spec, architecture, backend, shapes and SHA-256 stand before the numbers. */
import { CodedError } from "../../../daemon/errors.ts";
import { packState, unpackState } from "../policies/state.ts";
import type { Backend } from "./backend.ts";
import { type Architecture, type Parameter, sizeOf, type Weights } from "./network.ts";
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
  const parameters = parametersOf(header.architecture);
  const groups = 3;
  const fits = vectors.every(({ length }, index) => length === sizeOf(parameters[index % parameters.length]?.shape ?? []));
  if (!fits || vectors.length !== groups * parameters.length) {
    throw new CodedError("POLICY_STATE_INVALID", "The state is of another shape.", { policy, spec });
  }
  const [weights = [], first = [], second = []] = Array.from({ length: groups }, (_, group) =>
    vectors.slice(group * parameters.length, (group + 1) * parameters.length).map((vector) => Float32Array.from(vector)),
  );
  // Finite as doubles, too large as what they become.
  if ([weights, first, second].flat().some((vector) => vector.some((value) => !Number.isFinite(value)))) {
    throw new CodedError("POLICY_STATE_INVALID", "The state is not made of finite numbers", { policy, spec });
  }
  const { architecture, backend, updates } = header;
  return { architecture, backend, weights, moments: { updates, first, second } };
}
