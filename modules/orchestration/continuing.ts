/** How a run goes on that is not being played: what its journal says, and what it was told to do since. */
import { CodedError, errorTable } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import type { RunCatalogue } from "./catalogue.ts";
import { pinnedPattern } from "./definition.ts";
import { stepErrorOf } from "./interpreter/journal.ts";
import { grown, type Journals } from "./journals.ts";
import type { Play } from "./playing.ts";
import { playedOf, type RunEntry, type StartedEntry } from "./record.ts";
import type { Direction } from "./schema.ts";
import { beginningOf, tellChange, tellEnd } from "./telling.ts";

export interface ContinuingOptions {
  readonly context: ModuleContext;
  readonly journals: Journals;
  readonly catalogue: RunCatalogue;
  readonly play: Play;
  /** Aborted when the daemon stops. */
  readonly signal: AbortSignal;
}

/**
 * Calls for one run must not overlap.
 * @param isForeign another daemon played it, and may believe that it still does
 * @param to what somebody directed it to
 * @throws CodedError what may be otherwise later
 */
export type Continue = (run: string, how: { readonly isForeign?: boolean; readonly to: Direction | undefined }) => Promise<void>;

export function createContinuing({ context, journals, catalogue, play, signal }: ContinuingOptions): Continue {
  /** Plays a run from its journal. */
  async function playFrom(entries: readonly RunEntry[]): Promise<void> {
    const started = entries[0] as StartedEntry;
    const pattern = await pinnedPattern(context, started.pattern, started).catch((error: unknown) => stepErrorOf(error));
    if ("code" in pattern) {
      if (errorTable[pattern.code].retryable || pattern.code === "INTERNAL") throw new CodedError(pattern.code, pattern.message);
      // The pattern is gone, together with the history that it was pinned to.
      return journals.end(started, { state: "failed", error: pattern });
    }
    play(pattern, entries, catalogue.sinceOf(started.run_id) ?? 0);
  }

  /** The event that it began was stored, and the daemon stopped before the first entry was. */
  async function beginJournal(run_id: string): Promise<StartedEntry> {
    const started = await beginningOf(context, run_id);
    if (started === undefined || (await journals.append(run_id, 0, started)) === "conflict") throw grown(run_id);
    return started;
  }

  return async (run_id, { isForeign = false, to }) => {
    await catalogue.current(signal); // where it began, without which it would hear what came before
    const entries = await journals.read(run_id);
    if (entries.length === 0) entries.push(await beginJournal(run_id));
    const started = entries[0] as StartedEntry;
    const { usage, isPaused } = playedOf(entries);
    const append = async (entry: RunEntry) => {
      if ((await journals.append(run_id, entries.length, entry)) === "conflict") throw grown(run_id);
      entries.push(entry);
    };
    const tellLast = (change: "paused" | "resumed") => tellChange(context, started, change, usage, entries.length - 1);

    const at = new Date().toISOString();
    const last = entries.at(-1) as RunEntry;
    if (last.type === "ended") {
      await tellEnd(context, started, last);
      return;
    }
    if (to === "cancel") return journals.end(started, { state: "cancelled" });
    if (isPaused && to !== "resume") return tellLast("paused");
    if (!isPaused && to === "pause") {
      await append({ type: "paused", at, elapsed: usage.milliseconds });
      return tellLast("paused");
    }
    if (isForeign) await append({ type: "taken", at });
    if (isPaused) {
      await append({ type: "resumed", at });
      await tellLast("resumed");
    }
    await playFrom(entries);
  };
}
