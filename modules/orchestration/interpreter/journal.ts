/**
 * The journal of a run as its interpreter sees it: what was recorded before, and what to record now (invariant 3).
 *
 * Each entry carries results of past steps and intents of coming ones. A result is written together with the next intent, since
 * nothing happens in between; whoever appends while a write is under way joins the next write. Results that a replay gets again,
 * because their effect is recognised when it is repeated, may wait for company.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { CodedError, type ErrorCode } from "../../../daemon/errors.ts";
import type { Effect } from "./effects.ts";

export interface Intent {
  readonly step: string;
  readonly line: number;
  readonly effect: Effect;
  /** Of an effect that did not happen the first time, after its outcome had been unknown; absent = the first. */
  readonly attempt?: number;
}

export interface StepError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Record<string, unknown>;
}

/** An error without a code is a defect of what was called. */
export function stepErrorOf(error: unknown): StepError {
  if (error instanceof CodedError) return { code: error.code, message: error.message, details: error.details };
  return { code: "INTERNAL", message: error instanceof Error ? error.message : String(error), details: {} };
}

export interface StepResult {
  readonly step: string;
  readonly line: number;
  readonly value?: unknown;
  readonly error?: StepError;
  readonly milliseconds: number;
  /** What models and tools took; absent = nothing. */
  readonly tokens?: number;
  readonly cost?: number;
}

/** What an entry tells of steps. */
export interface Recorded {
  readonly results: readonly StepResult[];
  readonly intents: readonly Intent[];
}

export interface StepsEntry extends Recorded {
  readonly type: "steps";
  /** RFC 3339. */
  readonly at: string;
  /** Milliseconds that the run has been played so far, without the time in which no daemon played it. */
  readonly elapsed: number;
}

/** Where the entries go; the index is the position in the journal. */
export interface JournalStore {
  read(): Promise<unknown[]>;
  append(index: number, entry: unknown): Promise<"appended" | "conflict">;
}

export interface Journal {
  intentOf(step: string): Intent | undefined;
  resultOf(step: string): StepResult | undefined;
  /** Durable when it resolves, with all results before it. */
  intent(intent: Intent): Promise<void>;
  /** The intent of an effect that is its own record: durable with the result. */
  note(intent: Intent): void;
  /**
   * Durable with the next intent, flush or end.
   * @param isRepeatable a replay would get the same
   */
  result(result: StepResult, isRepeatable?: boolean): void;
  /** Resolves when no result is pending that a replay might not get again. */
  settle(): Promise<void>;
  flush(): Promise<void>;
  /** Appends an entry that tells of no step; nothing after the journal was closed. */
  enter(entry: object): Promise<void>;
  /** Appends an entry after which the run is not played, with all results before it. @returns its index */
  close(entry: object): Promise<number>;
}

export interface JournalOptions {
  readonly store: JournalStore;
  /** Number of entries that were read. */
  readonly length: number;
  /** The entry to begin with, before all others; whatever else is written waits for it. */
  readonly first?: object;
  /** What those entries tell of steps. */
  readonly steps: readonly Recorded[];
  /** Milliseconds that the run has been played so far. */
  elapsed(): number;
  /** Ends the repetition of appends whose outcome is unknown. */
  readonly signal: AbortSignal;
}

/** Another owner appended to this journal: the run is no longer ours. */
export class RunLost extends Error {
  override readonly name = "RunLost";
}

/** Pending records after which they are written though nothing waits for them. */
const mostPending = 64;
/** Characters of records that go into one entry; a larger one has an entry to itself. */
const entryLength = 256 * 1024;

type Pending = { readonly length: number } & ({ readonly result: StepResult } | { readonly intent: Intent });

export function createJournal(options: JournalOptions): Journal {
  const { store, elapsed, signal } = options;
  const intents = new Map(options.steps.flatMap((entry) => entry.intents.map((intent) => [intent.step, intent])));
  const results = new Map(options.steps.flatMap((entry) => entry.results.map((result) => [result.step, result])));
  let length = options.length;
  let pending: Pending[] = [];
  let pendingLength = 0;
  /** Something pending a replay might not get again. */
  let isUncertain = false;
  /** The last write of such. */
  let settled: Promise<void> = Promise.resolve();
  let last: Promise<void> = settled;
  let scheduled: Promise<void> | undefined;
  let isClosed = false;
  let failure: { readonly error: unknown } | undefined;

  function add(record: { readonly result: StepResult } | { readonly intent: Intent }): void {
    const size = JSON.stringify(record).length;
    pending.push({ ...record, length: size });
    pendingLength += size;
  }

  async function write(entry: object): Promise<void> {
    const index = length;
    if ((await appendSurely(store, index, entry, signal)) === "conflict") throw new RunLost(`entry ${index} was written by another owner`);
    length = index + 1;
  }

  /** As many pending records as fit into one entry, in their order. */
  function take(): Recorded {
    let count = 0;
    for (let size = 0; count < pending.length; count++) {
      size += pending[count]?.length ?? 0;
      if (count > 0 && size > entryLength) break;
    }
    const taken = pending.slice(0, count);
    pending = pending.slice(count);
    pendingLength = pending.reduce((sum, record) => sum + record.length, 0);
    return {
      results: taken.flatMap((record) => ("result" in record ? [record.result] : [])),
      intents: taken.flatMap((record) => ("intent" in record ? [record.intent] : [])),
    };
  }

  /** A failed write fails all later ones: `last` stays rejected. */
  function after(work: () => Promise<void>): Promise<void> {
    last = last.then(work);
    last.catch((error: unknown) => {
      failure ??= { error };
    });
    return last;
  }

  async function writeWhile(isTooMuch: () => boolean): Promise<void> {
    while (isTooMuch()) {
      await write({ type: "steps", at: new Date().toISOString(), elapsed: elapsed(), ...take() } satisfies StepsEntry);
    }
  }

  function flush(): Promise<void> {
    scheduled ??= after(() => {
      scheduled = undefined;
      isUncertain = false;
      return writeWhile(() => pending.length > 0);
    });
    if (isUncertain) settled = scheduled;
    return scheduled;
  }

  const { first } = options;
  if (first !== undefined) void after(() => write(first));

  return {
    intentOf: (step) => intents.get(step),
    resultOf: (step) => results.get(step),
    intent(intent) {
      add({ intent });
      return flush();
    },
    note: (intent) => add({ intent }),
    result(result, isRepeatable = false) {
      add({ result });
      isUncertain ||= !isRepeatable;
      if (pending.length >= mostPending || pendingLength >= entryLength) void flush();
    },
    async settle() {
      if (failure !== undefined) throw failure.error;
      if (isUncertain) void flush();
      await settled;
    },
    flush,
    enter: (entry) => (isClosed ? Promise.resolve() : after(() => write(entry))),
    async close(entry) {
      isClosed = true;
      await after(async () => {
        await writeWhile(() => pendingLength > entryLength);
        await write({ ...entry, ...take() });
      });
      return length - 1;
    },
  };
}

/** Repeats an append of unknown outcome until it is known; a conflict may be with an earlier attempt of its own. */
async function appendSurely(store: JournalStore, index: number, entry: object, signal: AbortSignal): Promise<"appended" | "conflict"> {
  for (let attempt = 0; ; attempt++) {
    try {
      const outcome = await store.append(index, entry);
      if (outcome === "appended" || attempt === 0) return outcome;
      const [written] = (await store.read()).slice(index);
      return isDeepStrictEqual(written, JSON.parse(JSON.stringify(entry))) ? "appended" : "conflict";
    } catch (error) {
      if (signal.aborted) throw error;
      await sleep(Math.min(2 ** attempt * 50, 5000), undefined, { signal });
    }
  }
}
