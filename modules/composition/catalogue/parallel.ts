/** Does the work for all items, 64 at a time. */
export async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (let first = 0; first < items.length; first += 64) await Promise.all(items.slice(first, first + 64).map(work));
}
