/** Values that the features of contexts had lately. A feature decides nothing by itself: another value of it would have decided otherwise. */
import type { Features } from "../features/walk.ts";

const mostKeys = 64;
const mostValues = 3;

export class KnownValues {
  /** By key, the latest last. */
  readonly #values = new Map<string, unknown[]>();

  note(context: Features): void {
    for (const key in context) {
      const known = this.#values.get(key) ?? [];
      const value = context[key];
      if (known.at(-1) === value) continue;
      const kept = known.filter((each) => each !== value).slice(1 - mostValues);
      if (known.length === 0 && this.#values.size >= mostKeys) this.#values.delete(this.#values.keys().next().value as string);
      this.#values.set(key, [...kept, value]);
    }
  }

  /** What the feature could have been instead: none for one that was always the same. A text is compared with none, since no two are alike. */
  others(key: string, value: unknown): readonly unknown[] {
    if (isText(value)) return [undefined];
    return (this.#values.get(key) ?? []).filter((each) => each !== value && !isText(each));
  }
}

export const isText = (value: unknown): value is string => typeof value === "string" && /\s/.test(value);
