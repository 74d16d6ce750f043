import type { Selected } from "../schema.ts";

const mostSelections = 1_000;
/** Characters of all of them as JSON. */
const mostText = 8_000_000;

/** The latest selections in memory, since most outcomes come soon. */
export class RecentSelections {
  /** By decision, the one that was made longest ago first. */
  readonly #selections = new Map<string, { readonly selected: Selected; readonly length: number }>();
  #text = 0;

  /** @param length characters of it as JSON */
  add(selected: Selected, length: number): void {
    if (this.#selections.has(selected.decision_id)) return; // its transaction failed, and is done again
    this.#selections.set(selected.decision_id, { selected, length });
    this.#text += length;
    for (const [oldest, { length: freed }] of this.#selections) {
      if (this.#selections.size <= mostSelections && this.#text <= mostText) return;
      this.#selections.delete(oldest);
      this.#text -= freed;
    }
  }

  get(decision: string): Selected | undefined {
    return this.#selections.get(decision)?.selected;
  }

  clear(): void {
    this.#selections.clear();
    this.#text = 0;
  }
}
