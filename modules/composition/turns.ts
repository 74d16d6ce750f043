/** Changes of one composition that begin with what the one before left take turns, so that none is done in vain. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Does the work after all that was asked for this name before, whether that succeeded or not. @throws the signal's reason */
  async take<Result>(name: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(name);
    const done = (async () => {
      await before;
      signal.throwIfAborted();
      return work();
    })();
    const ended = done.then(
      () => undefined,
      () => undefined,
    );
    this.#last.set(name, ended);
    try {
      return await done;
    } finally {
      if (this.#last.get(name) === ended) this.#last.delete(name);
    }
  }
}
