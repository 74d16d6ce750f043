/**
 * Keeps the history of runs within bounds: deletes ended runs that are too many or too old, then the contents that no run refers
 * to any more.
 *
 * 1. Which runs there are is what the log tells. A run that is not known to have ended stays, and so does one whose parent stays.
 *    First its journal goes, then the log is told: a stop in between leaves a run that the next sweep deletes again.
 * 2. A content is listed as old, then every run is asked for what it refers to, then what nobody named is deleted. Whoever refers
 *    to a content puts it before, which makes it young or, after it was listed, keeps the store from deleting it.
 * 3. One daemon of a server sweeps, whoever holds the lease. That saves work alone: two at once would do no harm.
 */
import { setTimeout as pause } from "node:timers/promises";
import { z } from "zod";
import type { ModuleContext, StoredObject } from "../../daemon/module.ts";
import type { RunCatalogue } from "./catalogue.ts";
import { contentsOf } from "./contents.ts";
import type { RunEntry } from "./record.ts";

/** The section `runs` of `reprise.yaml`. */
export const historySettings = z.strictObject({
  keep_ended: z.number().int().min(0).default(10_000).describe("of more runs that have ended, the oldest are deleted"),
  keep_days: z.number().positive().default(30).describe("those that ended longer ago are deleted"),
  grace_minutes: z.number().positive().default(60).describe("whatever ended or was stored since is kept"),
  sweep_minutes: z.number().positive().default(10).describe("between two looks at what is to be deleted"),
});
export type HistorySettings = z.output<typeof historySettings>;

/** Who holds the lease of this name sweeps. */
export const sweeper = "sweeper";

export interface RetentionOptions {
  readonly context: ModuleContext;
  readonly catalogue: RunCatalogue;
  /** Is it this daemon that sweeps? */
  isSweeper(): boolean;
}

const millisecondsPerMinute = 60_000;
const millisecondsPerDay = 24 * 60 * millisecondsPerMinute;
/** Runs that one event tells of. */
const together = 200;
/** It rests that many times as long as it works, so as not to be in the way of runs. */
const restPerWork = 2;

/** Sweeps from time to time until it is disposed of. */
export function openRetention({ context, catalogue, isSweeper }: RetentionOptions): AsyncDisposable {
  const { keep_ended, keep_days, grace_minutes, sweep_minutes } = context.settings as HistorySettings;
  const stopping = new AbortController();
  const { signal } = stopping;
  const grace = grace_minutes * millisecondsPerMinute;
  const ago = (milliseconds: number) => new Date(Date.now() - milliseconds).toISOString();

  async function gently<Result>(work: () => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    const begun = performance.now();
    const result = await work();
    await pause(restPerWork * (performance.now() - begun), undefined, { signal });
    return result;
  }

  async function sweep(): Promise<void> {
    const runs = await deleteRuns();
    const { objects, bytes } = await deleteContents();
    if (isSweeper()) await context.objects.tidy(Date.now() - grace);
    if (runs + objects > 0) context.log.info({ runs, objects, bytes }, "old runs and what only they referred to were deleted");
  }

  async function deleteRuns(): Promise<number> {
    for (let deleted = 0; ; ) {
      await catalogue.current(signal);
      const limits = { keep: keep_ended, since: ago(keep_days * millisecondsPerDay), until: ago(grace), limit: together };
      const run_ids = isSweeper() ? catalogue.overdue(limits) : [];
      if (run_ids.length === 0) return deleted;
      for (const run of run_ids) await gently(() => context.journal.delete(run));
      await context.emit("orchestration:deleted", { run_ids });
      deleted += run_ids.length;
    }
  }

  async function deleteContents(): Promise<{ objects: number; bytes: number }> {
    const old = new Map((await context.objects.list(Date.now() - grace)).map((one) => [one.sha256, one]));
    if (old.size > 0) await forgetNeeded(old);
    let [objects, bytes] = [0, 0];
    for (const [sha256, listed] of old) {
      if (!isSweeper()) break;
      if (!(await gently(() => context.objects.delete(sha256, listed)))) continue;
      objects++;
      bytes += listed.bytes;
    }
    return { objects, bytes };
  }

  /** Takes out what a run refers to. A journal is read once after its run has ended. */
  async function forgetNeeded(old: Map<string, StoredObject>): Promise<void> {
    await catalogue.current(signal);
    for (const contents of catalogue.keptContents()) for (const sha256 of contents) old.delete(sha256);
    for (const { run_id, isOpen } of catalogue.withUnknownContents()) {
      if (old.size === 0) return;
      const contents = await gently(async () => referencesOf(run_id));
      if (!isOpen) catalogue.keepContents(run_id, contents);
      for (const sha256 of contents) old.delete(sha256);
    }
  }

  /** As its journal and its events tell. */
  async function referencesOf(run: string): Promise<Set<string>> {
    const entries = await context.journal.read<RunEntry>(run);
    const { events } = await context.events.query({ types: toldContents, run });
    return contentsOf([...entries, ...events.map(({ data }) => data)]);
  }

  const done = (async () => {
    while (!signal.aborted) {
      await pause(sweep_minutes * millisecondsPerMinute, undefined, { signal, ref: false });
      if (!isSweeper()) continue;
      await sweep().catch((error: unknown) => {
        if (!signal.aborted) context.log.warn({ error }, "old runs could not be deleted yet");
      });
    }
  })().catch(() => {}); // it stops

  return {
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await done;
    },
  };
}

/** Events that refer to contents. */
const toldContents = ["orchestration:started", "orchestration:completed"];
