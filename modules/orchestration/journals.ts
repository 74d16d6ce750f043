/** The journals of all runs: entries go in with their large contents put by, and come out whole. */
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { packEntry, unpackEntry } from "./contents.ts";
import { type EndedEntry, playedOf, type RunEntry, type StartedEntry } from "./record.ts";
import { endingOf, storedBeginningOf, tellEnd } from "./telling.ts";

export interface Journals {
  append(run: string, index: number, entry: RunEntry): Promise<"appended" | "conflict">;
  /** Empty when there is none. */
  read(run: string): Promise<RunEntry[]>;
  /** With references in place of large contents. @throws CodedError RUN_NOT_FOUND, RUN_DELETED */
  readStored(run: string): Promise<RunEntry[]>;
  /** A stored entry with its large contents. */
  whole<Entry extends RunEntry>(entry: Entry): Promise<Entry>;
  /**
   * As `readStored`, of a run that is not being played: where a daemon stopped after it had told how the run ended, and before
   * that was in the journal, the last entry is written now.
   */
  readClosed(run: string): Promise<RunEntry[]>;
  /**
   * Ends a run that is not being played, unless it has ended, and tells how it did.
   * @throws Error when something else was appended meanwhile
   */
  end(started: StartedEntry, end: Pick<EndedEntry, "state" | "error">): Promise<void>;
}

/** @param isOurs may this daemon write the journals of the owner's runs? */
export function openJournals(context: ModuleContext, isOurs: (owner: string) => boolean): Journals {
  const { journal, objects } = context;

  async function append(run: string, index: number, entry: RunEntry): Promise<"appended" | "conflict"> {
    return journal.append(run, index, await packEntry(objects, entry));
  }

  const whole = <Entry extends RunEntry>(entry: Entry) => unpackEntry(objects, entry) as Promise<Entry>;

  const read = async (run: string): Promise<RunEntry[]> => Promise.all((await journal.read<RunEntry>(run)).map(whole));

  async function readStored(run: string): Promise<RunEntry[]> {
    const entries = await journal.read<RunEntry>(run);
    if (entries.length > 0) return entries;
    if ((await endingOf(context, run)) === undefined) {
      const beginning = await storedBeginningOf(context, run);
      if (beginning === undefined) throw new CodedError("RUN_NOT_FOUND", `There is no run ${run}.`, { run_id: run });
      return [beginning]; // durable by the event; its journal begins a moment later
    }
    throw new CodedError("RUN_DELETED", `The run ${run} has ended, and its journal was deleted since.`, { run_id: run });
  }

  return {
    append,
    read,
    whole,
    readStored,
    async readClosed(run) {
      const entries = await readStored(run);
      if (entries.at(-1)?.type === "ended") return entries;
      const ended = await endingOf(context, run);
      if (ended === undefined) return entries;
      if (isOurs((entries[0] as StartedEntry).owner)) await append(run, entries.length, ended);
      return [...entries, ended];
    },
    async end(started, { state, error }) {
      const entries = await read(started.run_id);
      if (entries.length === 0) {
        if ((await append(started.run_id, 0, started)) === "conflict") throw grown(started.run_id);
        entries.push(started);
      }
      const last = entries.at(-1);
      if (last?.type === "ended") {
        await tellEnd(context, started, last);
        return;
      }
      const ended: EndedEntry = {
        type: "ended",
        at: new Date().toISOString(),
        state,
        ...(error && { error }),
        usage: playedOf(entries).usage,
        judgements: [],
      };
      if ((await append(started.run_id, entries.length, ended)) === "conflict") throw grown(started.run_id);
      await tellEnd(context, started, ended);
    },
  };
}

/** Somebody else appended between the reading and the appending: read again. */
export const grown = (run: string): Error => new Error(`the journal of ${run} grew while it was read`);
