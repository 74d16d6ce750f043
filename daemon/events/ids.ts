/** Ids of messages and traces. */
import { randomFillSync } from "node:crypto";
import { monotonicFactory } from "ulid";

/** Random bytes, drawn from the system in bulk: a draw costs as much as all the rest of an id. */
class RandomPool {
  readonly #pool = Buffer.alloc(8_192);
  #position = this.#pool.length;

  /** @param count of bytes, at most 64 */
  hex(count: number): string {
    const start = this.#take(count);
    return this.#pool.toString("hex", start, start + count);
  }

  /** In [0, 1), with 8 bits: what a character of a ULID takes. */
  fraction(): number {
    return (this.#pool[this.#take(1)] ?? 0) / 256;
  }

  #take(count: number): number {
    if (this.#position + count > this.#pool.length) {
      randomFillSync(this.#pool);
      this.#position = 0;
    }
    this.#position += count;
    return this.#position - count;
  }
}

const random = new RandomPool();
const monotonic = monotonicFactory(() => random.fraction());

/** A new ULID: 26 characters, ordered by time, also within a millisecond. */
export const newId = (): string => monotonic();

/** A W3C trace context that begins here. */
export const newTraceparent = (): string => `00-${random.hex(16)}-${random.hex(8)}-01`;
