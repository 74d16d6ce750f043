/**
 * Notices that a strand does the same over and over: one action again and again, whatever it comes to, or a round of up to four
 * actions that each time come to the same.
 */
import { isDeepStrictEqual } from "node:util";
import { CodedError } from "../../../daemon/errors.ts";
import type { Effect } from "./effects.ts";

const longestRound = 4;

export interface Repetition {
  /** Rounds that would be identical if this came next, this one counted; 1 = it is new. */
  roundsWith(effect: Effect): number;
  /** It was done. @param result what it gave, or its error */
  done(effect: Effect, result: unknown): void;
}

export function watchRepetition(): Repetition {
  /** The latest actions, the last one first. */
  let latest: { readonly effect: Effect; readonly outcome: unknown }[] = [];
  /** By the length of a round: how many actions one after another were what the one a round before was. */
  const same = new Array<number>(longestRound + 1).fill(0);

  return {
    roundsWith(effect) {
      let most = 1;
      for (let length = 1; length <= longestRound; length++) {
        const before = latest[length - 1];
        if (before === undefined || !isDeepStrictEqual(before.effect, effect)) continue;
        most = Math.max(most, Math.floor((same[length] as number) / length) + 2);
      }
      return most;
    },
    done(effect, result) {
      const outcome = outcomeOf(effect, result);
      for (let length = 1; length <= longestRound; length++) {
        const before = latest[length - 1];
        const isSame =
          before !== undefined && isDeepStrictEqual(before.effect, effect) && (length === 1 || isDeepStrictEqual(before.outcome, outcome));
        same[length] = isSame ? (same[length] as number) + 1 : 0;
      }
      latest = [{ effect, outcome }, ...latest.slice(0, longestRound - 1)];
    },
  };
}

/** What tells one time from another: without ids, which are new each time, and without how long it took. */
function outcomeOf({ kind }: Effect, result: unknown): unknown {
  if (result instanceof CodedError) return result.code;
  if (kind === "emit" || kind === "run") return (result as { result?: unknown } | undefined)?.result;
  return ["send", "spawn", "track", "ask"].includes(kind) ? undefined : result;
}
