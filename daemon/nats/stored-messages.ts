/** Reads consecutive messages of a stream in one round trip, bounded in number and bytes. */
import type { JetStreamManager, StoredMsg } from "@nats-io/jetstream";

export interface StoredRange {
  /** The first sequence that may be read. */
  readonly seq: number;
  /** Only messages of this subject, which may hold wildcards. */
  readonly subject?: string;
  readonly count: number;
  /** At least one message is read, however large. */
  readonly bytes: number;
}

/** Milliseconds without a message after which the rest is given up. */
const patience = 5_000;

/**
 * @returns in order; empty when there is none from `seq` on. Fewer than `count` says nothing about the end of the stream.
 * @throws when the server does not answer
 */
export async function readStored(manager: JetStreamManager, stream: string, range: StoredRange): Promise<StoredMsg[]> {
  const { promise, resolve, reject } = Promise.withResolvers<StoredMsg[]>();
  const messages: StoredMsg[] = [];
  const stalled = setTimeout(() => reject(new Error(`the stream ${stream} stopped answering`)), patience);
  // With a callback: the library's iterator keeps its subscription for ever.
  const reading = await manager.direct.getBatch(stream, {
    seq: range.seq,
    batch: range.count,
    max_bytes: range.bytes,
    ...(range.subject !== undefined && { next_by_subj: range.subject }),
    callback(done, message) {
      if (done === null) {
        messages.push(message);
        stalled.refresh();
      } else if (done.err === undefined || isNotFound(done.err)) resolve(messages);
      else reject(done.err);
    },
  });
  try {
    return await promise;
  } finally {
    clearTimeout(stalled);
    reading.stop();
  }
}

const isNotFound = (error: Error): boolean => "code" in error && error.code === 404;
