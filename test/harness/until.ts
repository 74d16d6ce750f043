/** Waits for a condition; never for a time. */
import { setTimeout as pause } from "node:timers/promises";

/** Polls until `condition` yields something other than false or undefined. @throws Error after `limit` milliseconds */
export async function until<Result>(
  condition: () => Promise<Result | undefined | false> | Result | undefined | false,
  what: string,
  limit = 20_000,
): Promise<Result> {
  const deadline = Date.now() + limit;
  for (;;) {
    const result = await condition();
    if (result !== undefined && result !== false) return result;
    if (Date.now() > deadline) throw new Error(`waited ${limit / 1000} s in vain for ${what}`);
    await pause(20);
  }
}
