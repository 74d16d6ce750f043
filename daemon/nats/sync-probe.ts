/**
 * Finds out by measurement whether a server syncs every write: NATS does not tell its clients.
 *
 * A server that does pays for each single message and once for a batch, so that 64 singles take some three times as long as one
 * batch of 64; one that does not is faster with singles.
 */
import { type JetStreamClient, type JetStreamManager, StorageType } from "@nats-io/jetstream";

const messages = 64;
const rounds = 3;
const decisiveRatio = 1.5;

/** Milliseconds for 64 messages, the best of three rounds each. */
export interface SyncProbe {
  readonly singles: number;
  readonly batch: number;
  readonly syncsEveryWrite: boolean;
}

/** @param stream name of a stream that is made for the measurement, and deleted */
export async function probeSync(client: JetStreamClient, manager: JetStreamManager, stream: string): Promise<SyncProbe> {
  const subject = `${stream}.probe`;
  await manager.streams.add({ name: stream, subjects: [subject], storage: StorageType.File, allow_atomic: true });
  try {
    let singles = Number.POSITIVE_INFINITY;
    let batch = Number.POSITIVE_INFINITY;
    for (let round = 0; round < rounds; round++) {
      singles = Math.min(singles, await timed(() => Promise.all(Array.from({ length: messages }, () => client.publish(subject)))));
      batch = Math.min(batch, await timed(() => publishBatch(client, subject)));
    }
    return { singles, batch, syncsEveryWrite: paysForEach(singles, batch) };
  } finally {
    await manager.streams.delete(stream);
  }
}

/** Do 64 singles cost so much more than a batch that each must have been synced? */
export const paysForEach = (singles: number, batch: number): boolean => singles > decisiveRatio * batch;

async function publishBatch(client: JetStreamClient, subject: string): Promise<void> {
  const batch = await client.startBatch(subject);
  for (let index = 2; index < messages; index++) batch.add(subject);
  await batch.commit(subject);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
