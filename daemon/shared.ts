/**
 * One call of `work` for many callers: one at a time, and those that come while it is under way share the next. So each gets what
 * was done after it asked.
 */
export function shared<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let current: Promise<unknown> = Promise.resolve();
  let next: Promise<Result> | undefined;
  return () => {
    if (next !== undefined) return next;
    const result = current.then(() => {
      next = undefined;
      return work();
    });
    next = result;
    current = result.catch(() => {}); // whoever called is told
    return result;
  };
}
