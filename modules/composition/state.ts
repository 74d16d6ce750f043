import type { Catalogue } from "./catalogue/catalogue.ts";
import type { DecisionProjection } from "./projection.ts";
import type { DecisionSegments } from "./segments.ts";
import type { CompositionStore } from "./store.ts";
import type { Turns } from "./turns.ts";

/** What the module keeps while it runs. */
export interface State extends AsyncDisposable {
  readonly store: CompositionStore;
  readonly catalogue: Catalogue;
  readonly segments: DecisionSegments;
  readonly projection: DecisionProjection;
  /** By the name of the composition that is changed. */
  readonly turns: Turns;
}
