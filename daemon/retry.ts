/** Repeats an operation with growing pauses until it succeeds or the signal aborts. */
import { setTimeout as pause } from "node:timers/promises";

export interface RetryOptions {
  readonly signal: AbortSignal;
  /** Milliseconds before the second attempt; doubled after each, at most 10 s. */
  readonly firstPause?: number;
  onFailure?(error: unknown, attempt: number): void;
}

/** @throws the signal's reason when it aborts */
export async function retry<Result>(
  operation: () => Promise<Result>,
  { signal, firstPause = 100, onFailure }: RetryOptions,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await operation();
    } catch (error) {
      signal.throwIfAborted();
      onFailure?.(error, attempt);
      await pause(Math.min(firstPause * 2 ** (attempt - 1), 10_000), undefined, { signal });
    }
  }
}
