/** What the errors of the JetStream API mean to us. */
import { JetStreamApiError } from "@nats-io/jetstream";

/** Code of a publish that expected another last message. */
export const wrongLastSequence = 10071;

/** Was a publish refused because another message came first (expected last sequence)? */
export const isWrongLastSequence = (error: unknown): boolean => error instanceof JetStreamApiError && error.code === wrongLastSequence;

/** For `.catch` after asking for a stream or a consumer: `undefined` when there is none, other errors go on. */
export function unlessMissing(error: unknown): undefined {
  if (error instanceof JetStreamApiError && error.status === 404) return undefined;
  throw error;
}
