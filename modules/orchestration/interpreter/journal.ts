/**
 * The journal of a run as its interpreter sees it: what was recorded before, and what to record now (invariant 3).
 *
 * Each entry carries results of past steps and intents of coming ones. A result is written together with the next intent, since
 * nothing happens in between; whoever appends while a write is under way joins the next write.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { CodedError, type ErrorCode } from "../../../daemon/errors.ts";
import type { Effect } from "./effects.ts";

export interface Intent {
  readonly step: string;
  readonly line: number;
  readonly effect: Effect;
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
}

export interface StepsEntry {
  readonly type: "steps";
  /** RFC 3339. */
  readonly at: string;
  /** Milliseconds that the run has been played so far, without the time in which no daemon played it. */
  readonly elapsed: number;
  readonly results: readonly StepResult[];
  readonly intents: readonly Intent[];
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
  /** Durable with the next intent, flush or end. */
  result(result: StepResult): void;
  flush(): Promise<void>;
  /** Appends the last entry, with the results that no entry has yet. */
  end(entry: object): Promise<void>;
}

/** The journal has another writer now: whoever sees this must stop and leave the run alone. */
export class RunLost extends Error {
  override readonly name = "RunLost";
}

/** NATS takes 1 MB; an entry holds a result and an intent or two. */
const maximumBytes = 512 * 1024;

/**
 * @param length number of entries that the journal has already
 * @param steps those of them that record steps
 */
export function createJournal(options: {
  store: JournalStore;
  length: number;
  steps: readonly StepsEntry[];
  elapsed(): number;
  signal: AbortSignal;
}): Journal {
  const { store, elapsed, signal } = options;
  const intents = new Map(options.steps.flatMap((entry) => entry.intents.map((intent) => [intent.step, intent])));
  const results = new Map(options.steps.flatMap((entry) => entry.results.map((result) => [result.step, result])));
  let length = options.length;
  let pending: { results: StepResult[]; intents: Intent[] } = { results: [], intents: [] };
  let last: Promise<void> = Promise.resolve();
  let scheduled: Promise<void> | undefined;

  async function write(entry: object): Promise<void> {
    const index = length;
    if ((await appendSurely(store, index, entry, signal)) === "conflict") throw new RunLost(`entry ${index} was written by another owner`);
    length = index + 1;
  }

  function take() {
    const taken = pending;
    pending = { results: [], intents: [] };
    return taken;
  }

  /** A failed write fails all later ones: `last` stays rejected. */
  function after(work: () => Promise<void>): Promise<void> {
    last = last.then(work);
    last.catch(() => {});
    return last;
  }

  function flush(): Promise<void> {
    scheduled ??= after(async () => {
      scheduled = undefined;
      const batch = take();
      if (batch.results.length + batch.intents.length > 0) {
        await write({ type: "steps", at: new Date().toISOString(), elapsed: elapsed(), ...batch } satisfies StepsEntry);
      }
    });
    return scheduled;
  }

  return {
    intentOf: (step) => intents.get(step),
    resultOf: (step) => results.get(step),
    intent(intent) {
      assertSize(intent, "intent");
      pending.intents.push(intent);
      return flush();
    },
    result(result) {
      assertSize(result, "result");
      pending.results.push(result);
    },
    flush,
    end: (entry) => after(() => write({ ...entry, results: take().results })),
  };
}

function assertSize(record: Intent | StepResult, what: string): void {
  const bytes = Buffer.byteLength(JSON.stringify(record));
  if (bytes <= maximumBytes) return;
  throw new CodedError(
    "RUN_LIMIT_EXCEEDED",
    `The ${what} of step ${record.step} (line ${record.line}) has ${bytes} bytes; ${maximumBytes} fit in the journal.`,
    { limit: "step_bytes", allowed: maximumBytes, step: record.step, line: record.line },
  );
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
