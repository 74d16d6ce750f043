/** Groups what arrives together. */

/** Yields what is buffered as one batch of at most `limit` items; what comes later waits for the next. */
export async function* batchesOf<Item>(items: AsyncIterable<Item>, limit: number): AsyncGenerator<[Item, ...Item[]]> {
  const arrivals = items[Symbol.asyncIterator]();
  let arrival = arrivals.next();
  for (;;) {
    const first = await arrival;
    if (first.done === true) return;
    const batch: [Item, ...Item[]] = [first.value];
    // Buffered items arrive before the event loop's next turn.
    const turn = new Promise<undefined>((resolve) => setImmediate(resolve, undefined));
    arrival = arrivals.next();
    while (batch.length < limit) {
      const next = await Promise.race([arrival, turn]);
      if (next === undefined || next.done === true) break;
      batch.push(next.value);
      arrival = arrivals.next();
    }
    yield batch;
  }
}
