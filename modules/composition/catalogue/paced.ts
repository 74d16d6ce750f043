/** Work on many items beside everything else that the process does: a commit of decisions waits for no index. */
import { setImmediate as giveWay } from "node:timers/promises";

/** Milliseconds that the work keeps the process to itself. */
const slice = 1;
const readTogether = 8;

/** Does the work item by item, and lets others have their turn every millisecond. */
export async function paced<Item>(items: Iterable<Item>, work: (item: Item) => void): Promise<void> {
  let since = performance.now();
  for (const item of items) {
    work(item);
    if (performance.now() - since < slice) continue;
    await giveWay();
    since = performance.now();
  }
}

/** As `paced`, for work on what has to be read first; a few items are read at a time. */
export async function readPaced<Item, Content>(
  items: readonly Item[],
  read: (item: Item) => Promise<Content>,
  work: (item: Item, content: Content) => void,
): Promise<void> {
  for (let first = 0; first < items.length; first += readTogether) {
    const group = items.slice(first, first + readTogether);
    const contents = await Promise.all(group.map(read));
    await giveWay();
    await paced(group.entries(), ([position, item]) => work(item, contents[position] as Content));
  }
}
