/**
 * The selections and outcomes of the event log, folded into statistics.
 *
 * 1. The log is the truth: everything here is a projection of `policy:selected` and `policy:outcome_recorded`, in log order.
 * 2. An outcome counts once: the first that is recorded for a selection which is remembered, and never again after a restart,
 *    because each slot's snapshot says through which position it has counted.
 * 3. Memory is bounded: the last 50 000 selections are remembered; an outcome for an older one comes too late.
 */
import type { EventRecord, LogPosition, ModuleContext, Projection } from "../../daemon/module.ts";
import type { Candidate } from "./policies/policy.ts";
import type { Recorded, Selected } from "./schema.ts";
import { type Context, SlotStatistics, type StatisticsSnapshot } from "./statistics.ts";

interface Remembered {
  readonly slot: string;
  readonly context: Context;
  readonly choice: string;
  readonly seq: number;
  joined: boolean;
}

interface Slot {
  statistics: SlotStatistics;
  /** Events up to and including this position are in the statistics. */
  through: number;
  changed: boolean;
}

interface SlotSnapshot {
  readonly log: string;
  readonly slot: string;
  readonly through: number;
  readonly statistics: StatisticsSnapshot;
}

const eventsPerSnapshot = 1_000;
/** Requests that are recognised when they are repeated: a run that resumes after a crash asks again for its last step. */
const maximumRequests = 1_000;
const positionKey = "position";
/** Slots have any name; keys of the store do not. */
const slotKey = (slot: string) => `slot.${Buffer.from(slot).toString("base64url")}`;

export interface LedgerOptions {
  /** Selections that are remembered. */
  readonly remembered?: number;
}

export class Ledger implements AsyncDisposable {
  readonly #context: ModuleContext;
  readonly #maximumRemembered: number;
  readonly #remembered = new Map<string, Remembered>();
  /** The latest selections by the id of the request that they answered. */
  readonly #requests = new Map<string, Selected>();
  readonly #slots = new Map<string, Slot>();
  #log: string | undefined;
  #sinceSnapshot = 0;
  #projection: Projection | undefined;

  private constructor(context: ModuleContext, { remembered = 50_000 }: LedgerOptions) {
    this.#context = context;
    this.#maximumRemembered = remembered;
  }

  /** Loads the snapshot and follows the log from there. */
  static async open(context: ModuleContext, options: LedgerOptions = {}): Promise<Ledger> {
    const ledger = new Ledger(context, options);
    const after = (await context.state.get<LogPosition>(positionKey))?.value;
    if (after !== undefined) await ledger.#load(after.log);
    ledger.#projection = await context.project({
      types: ["policy:selected", "policy:outcome_recorded"],
      ...(after && { after }),
      handle: (events, position) => ledger.#fold(events, position),
    });
    return ledger;
  }

  /** Resolves once all that was in the log at the start is counted. */
  async caughtUp(): Promise<void> {
    await this.#projection?.caughtUp;
  }

  /** Resolves once everything up to the event at `seq` is counted. */
  async reached(seq: number, signal: AbortSignal): Promise<void> {
    await this.caughtUp();
    if (seq > 0) await this.#projection?.reached(seq, signal);
  }

  selection(id: string): Readonly<Remembered> | undefined {
    return this.#remembered.get(id);
  }

  /** What a request with this id was answered, if it asked the same. */
  answered(request: string, slot: string, candidates: readonly Candidate[]): Selected | undefined {
    const selected = this.#requests.get(request);
    const isSame = selected?.slot === slot && identity(selected.candidates) === identity(candidates);
    return isSame ? selected : undefined;
  }

  statistics(slot: string): SlotStatistics {
    return this.#slots.get(slot)?.statistics ?? new SlotStatistics();
  }

  slots(): string[] {
    return [...this.#slots.keys()].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
    if (this.#sinceSnapshot > 0) await this.#snapshot();
  }

  async #load(log: string): Promise<void> {
    this.#log = log;
    const entries = await this.#context.state.entries<SlotSnapshot>();
    for (const [key, { slot, through, statistics, log: slotLog }] of entries) {
      if (key === positionKey || slotLog !== log) continue;
      this.#slots.set(slot, { statistics: SlotStatistics.from(statistics), through, changed: false });
    }
  }

  async #fold(events: readonly EventRecord[], position: LogPosition): Promise<void> {
    if (this.#log !== position.log) {
      this.#log = position.log;
      this.#slots.clear();
      this.#remembered.clear();
      this.#requests.clear();
    }
    for (const event of events) {
      if (event.type === "policy:selected") this.#select(event.data as Selected, event.seq);
      else this.#record(event.data as Recorded, event.seq);
    }
    this.#sinceSnapshot += events.length;
    if (this.#sinceSnapshot >= eventsPerSnapshot) await this.#snapshot();
  }

  #select(selected: Selected, seq: number): void {
    const { decision_id: id, request, slot, context, choice } = selected;
    if (this.#remembered.has(id)) return;
    keep(this.#remembered, id, { slot, context, choice, seq, joined: false }, this.#maximumRemembered);
    keep(this.#requests, request, selected, maximumRequests);
    this.#count(slot, seq, (statistics) => statistics.selections++);
  }

  #record({ decision_id: id, reward }: Recorded, seq: number): void {
    const selection = this.#remembered.get(id);
    if (selection === undefined || selection.joined) return;
    selection.joined = true;
    this.#count(selection.slot, seq, (statistics) => statistics.observe(selection.context, selection.choice, reward));
  }

  #count(name: string, seq: number, add: (statistics: SlotStatistics) => void): void {
    const slot = this.#slots.get(name) ?? { statistics: new SlotStatistics(), through: 0, changed: false };
    this.#slots.set(name, slot);
    if (seq <= slot.through) return;
    slot.through = seq;
    slot.changed = true;
    add(slot.statistics);
  }

  /** The position goes last: if it is missing or old, more is read again, and nothing is counted again. */
  async #snapshot(): Promise<void> {
    const log = this.#log;
    if (log === undefined) return;
    for (const [name, slot] of this.#slots) {
      if (!slot.changed) continue;
      const snapshot: SlotSnapshot = { log, slot: name, through: slot.through, statistics: slot.statistics.toSnapshot() };
      await this.#context.state.put(slotKey(name), snapshot);
      slot.changed = false;
    }
    const oldest = this.#remembered.values().next().value;
    if (oldest !== undefined) await this.#context.state.put(positionKey, { log, seq: oldest.seq - 1 } satisfies LogPosition);
    this.#sinceSnapshot = 0;
  }
}

const identity = (candidates: readonly Candidate[]): string => JSON.stringify(candidates.map(({ id }) => id));

/** Adds an entry and drops the oldest when there are too many. */
function keep<Value>(entries: Map<string, Value>, key: string, value: Value, maximum: number): void {
  entries.set(key, value);
  if (entries.size > maximum) entries.delete(entries.keys().next().value as string);
}
