/**
 * The selections and outcomes of the event log, joined: what was asked, what was chosen with which odds, how it turned out.
 *
 * 1. The log is the truth: everything here is a projection of it, in log order, and is made again when it is lost.
 * 2. An outcome counts once: the first that is recorded for a selection which is remembered. The place in the log is stored
 *    in the same transaction as what was counted up to it.
 * 3. It is bounded: the last 50 000 selections wait for an outcome, a later one comes too late; of each slot the last 10 000
 *    outcomes are kept, and longer the last 2 500 of the rarer kind, good or bad; of all slots together 200 000 decisions. Where
 *    there are more than 10 000 slots, those with the fewest outcomes are forgotten.
 */
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import type { Database, EventRecord, LogPosition, ModuleContext, Projection } from "../../daemon/module.ts";
import { awaitedKey } from "./experience/awaited-key.ts";
import { Comparisons, type Known } from "./experience/comparisons.ts";
import { RecentSelections } from "./experience/recent-selections.ts";
import { DecisionStore } from "./experience/store.ts";
import { clearTables, prepareTables } from "./experience/tables.ts";
import { type SlotTally, Tallies } from "./experience/tallies.ts";
import type { Configured } from "./gate-events.ts";
import type { OutcomeText } from "./learner/messages.ts";
import type { RewardDefinition } from "./reward.ts";
import type { Choice, Linked, OutcomeSource, Recorded, Selected } from "./schema.ts";

export interface Decision {
  readonly slot: string;
  readonly choice: string;
  /** Who asked. */
  readonly owner: string;
  /** By which its outcome is graded, if it said so. */
  readonly reward?: RewardDefinition;
  readonly joined: boolean;
}

/** A selection with its outcome. */
export interface Joined {
  readonly slot: string;
  /** The number of the outcome in its slot, from 1. */
  readonly ordinal: number;
  readonly reward: number;
  /** What was chosen, from what. */
  selected(): Selected;
}

/** Milliseconds after which a transaction ends and the event loop does other things. */
const longestTurn = 8;
/**
 * Milliseconds until new events are counted, unless somebody waits for it: answers go first, and a transaction of many events takes little
 * longer than that of one.
 */
const breath = 20;
const pruneEvery = 500;
/** Of a mean of many rewards. */
const rounding = 1e-9;
const types = ["policy:selected", "policy:outcome_recorded", "policy:linked", "policy:configured"];

export interface LedgerOptions {
  /** Selections that are remembered. */
  readonly remembered?: number;
  /** Slots that are. */
  readonly mostSlots?: number;
}

export class Ledger implements AsyncDisposable {
  readonly #database: Database;
  readonly #store: DecisionStore;
  readonly #tallies: Tallies;
  readonly #comparisons: Comparisons;
  readonly #remembered: number;
  readonly #mostSlots: number;
  readonly #listeners: LedgerListeners;
  readonly #recent = new RecentSelections();
  #position: LogPosition | undefined;
  #sincePruned = 0;
  /** Place in the log of the last of those that this process logged. */
  #written = 0;
  /** Resolved when somebody waits for what is not counted yet. */
  #wanted = Promise.withResolvers<void>();
  #projection: Projection | undefined;
  /** Whether what was in the log at the start is counted. */
  #isCaughtUp = false;

  private constructor(database: Database, { remembered = 50_000, mostSlots = 10_000, ...listeners }: LedgerOptions & LedgerListeners) {
    prepareTables(database);
    this.#database = database;
    this.#store = new DecisionStore(database);
    this.#tallies = new Tallies(database);
    this.#comparisons = new Comparisons(database);
    this.#remembered = remembered;
    this.#mostSlots = mostSlots;
    this.#listeners = listeners;
    const known = database.prepare("SELECT log, seq FROM progress").get();
    this.#position = known && { log: String(known.log), seq: Number(known.seq) };
  }

  /** Follows the log from where the database stands. The database stays the caller's. */
  static async open(context: ModuleContext, database: Database, options: LedgerOptions & LedgerListeners): Promise<Ledger> {
    const ledger = new Ledger(database, options);
    ledger.#projection = await context.project({
      types,
      ...(ledger.#position && { after: ledger.#position }),
      handle: (events, position) => ledger.#fold(events, position),
    });
    void ledger.caughtUp().then(() => {
      ledger.#isCaughtUp = true;
    });
    return ledger;
  }

  /** Resolves once all that was in the log at the start is counted. */
  async caughtUp(): Promise<void> {
    await this.#projection?.caughtUp;
  }

  /** A selection, or what will tell its outcome, was logged by this process at this place. */
  wrote(seq: number): void {
    this.#written = Math.max(this.#written, seq);
  }

  /** Resolves once that is counted, as soon as can be; it costs no look at the log. */
  upToDate(signal: AbortSignal): Promise<void> {
    return this.reached(this.#written, signal);
  }

  /** The same of everything that the log holds now, whoever wrote it. */
  async current(signal: AbortSignal): Promise<void> {
    await this.reached((await this.#projection?.lastSequence(signal)) ?? 0, signal);
  }

  /** The same of everything up to the event at `seq`. */
  async reached(seq: number, signal: AbortSignal): Promise<void> {
    if (seq > (this.#position?.seq ?? 0)) this.#wanted.resolve();
    await this.passed(seq, signal);
  }

  /** As reached(), without hurry. */
  async passed(seq: number, signal: AbortSignal): Promise<void> {
    await this.caughtUp();
    if (seq > 0) await this.#projection?.reached(seq, signal);
  }

  /** As decision(), but of one that the log tells of already. @throws CodedError DECISION_UNKNOWN; the signal's reason */
  async find(id: string, signal: AbortSignal): Promise<Decision> {
    const known = this.decision(id);
    if (known !== undefined) return known;
    await this.upToDate(signal);
    if (this.decision(id) === undefined) await this.current(signal);
    const found = this.decision(id);
    if (found !== undefined) return found;
    throw new CodedError("DECISION_UNKNOWN", `No selection ${id} is remembered: it is too old, or was never made.`, { decision_id: id });
  }

  decision(id: string): Decision | undefined {
    const row = this.#store.row(id);
    if (row === undefined) return undefined;
    const { slot, choice, owner, ordinal, graded_by } = row;
    const decision = { slot: String(slot), choice: String(choice), owner: String(owner), joined: ordinal !== null };
    return { ...decision, ...(typeof graded_by === "string" && { reward: JSON.parse(graded_by) as RewardDefinition }) };
  }

  /** What a request with this id of the same owner was answered, if it asked the same. */
  answered(request: string, asked: Pick<Selected, "slot" | "context" | "candidates" | "by">): Choice | undefined {
    const answers = this.#store.answers(request, asked.slot, asked.by).map((text): Selected => JSON.parse(text));
    return answers.find((selected) => questionOf(selected) === questionOf(asked));
  }

  /** Decisions whose outcome this tells. */
  awaiting(event: OutcomeSource["event"], key: string): string[] {
    return this.#store.awaiting(event, key);
  }

  slots(): string[] {
    return this.#tallies.names();
  }

  tally(slot: string): Readonly<SlotTally> {
    return this.#tallies.of(slot);
  }

  /** Outcomes of a slot with ordinals in (after, through], in order; a few at a time, so that others get in between. */
  outcomes(slot: string, after: number, through: number): Iterable<readonly OutcomeText[]> {
    return this.#store.outcomes(slot, after, through);
  }

  /** What there is to learn from up to an outcome: the latest ones, and further back the rarer kind. */
  experience(slot: string, through: number): Iterable<readonly OutcomeText[]> {
    return this.#store.experience(slot, through);
  }

  /** @returns `least`: the lowest odds with which either was chosen */
  candidates(slot: string, left: string, right: string): Known & { readonly least: number } {
    return this.#comparisons.ofCandidates(slot, left, right);
  }

  /** The contender on the left, the serving policy on the right. */
  policies(slot: string, comparison: number): Known {
    return this.#comparisons.ofPolicies(slot, comparison);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
  }

  async #fold(events: readonly EventRecord[], { log }: LogPosition): Promise<void> {
    if (this.#isCaughtUp) await Promise.race([pause(breath), this.#wanted.promise]);
    this.#wanted = Promise.withResolvers();
    if (this.#position?.log !== log) this.#forget(log);
    const { seq: known = 0 } = this.#position ?? {};
    const unknown = events.filter(({ seq }) => seq > known);
    for (let start = 0; start < unknown.length; ) {
      if (start > 0) await nextTurn();
      start += this.#foldSome(unknown.slice(start), log);
    }
  }

  /** One transaction. @returns how many events it took */
  #foldSome(events: readonly EventRecord[], log: string): number {
    const begun = performance.now();
    const joined: Joined[] = [];
    let taken = 0;
    let seq = 0;
    try {
      this.#database.transaction(() => {
        for (const event of events) {
          this.#take(event, joined);
          taken++;
          seq = event.seq;
          if (performance.now() - begun > longestTurn) break;
        }
        this.#tallies.flush();
        this.#comparisons.flush();
        this.#store.reached(seq);
      });
    } catch (error) {
      this.#tallies.reload();
      this.#comparisons.reload();
      throw error;
    }
    this.#position = { log, seq };
    if (joined.length > 0) this.#listeners.onJoined(joined);
    return taken;
  }

  #take({ type, data, seq, run }: EventRecord, joined: Joined[]): void {
    switch (type) {
      case "policy:selected":
        this.#select(data as Selected, seq, run);
        break;
      case "policy:linked": {
        const { decision_id, outcome_from } = data as Linked;
        this.#store.await(outcome_from.event, outcome_from.id, decision_id);
        break;
      }
      case "policy:configured": {
        const { slot, reward } = data as Configured;
        this.#comparisons.define(slot, reward);
        break;
      }
      default: {
        const pair = this.#record(data as Recorded, seq);
        if (pair) joined.push(pair);
      }
    }
  }

  #select(selected: Selected, seq: number, run: string | undefined): void {
    const { decision_id: id, slot, choice, by: owner = "client:client" } = selected;
    const length = this.#store.insert({ seq, selected, owner });
    if (length === undefined) return;
    this.#recent.add(selected, length);
    this.#comparisons.select(selected, this.#usual(slot));
    this.#tallies.select(slot, seq);
    this.#forgetSurplus();
    const key = selected.outcome_from && awaitedKey(selected.outcome_from, choice, run);
    if (selected.outcome_from && key !== undefined) this.#store.await(selected.outcome_from.event, key, id);
    if (++this.#sincePruned < Math.min(pruneEvery, this.#remembered / 10)) return;
    this.#sincePruned = 0;
    this.#comparisons.leaveOut(this.#store.pruneSelections(this.#remembered));
  }

  #record({ decision_id: id, reward, last }: Recorded, recordedAt: number): Joined | undefined {
    const pending = this.#store.pending(id);
    if (pending === undefined) return undefined;
    const { seq, slot, choice } = pending;
    const desirable = isDesirable(reward, this.#usual(slot));
    this.#comparisons.reward(slot, id, reward, last);
    const ordinal = this.#tallies.reward(slot, choice, reward, recordedAt);
    this.#store.join(seq, ordinal, reward, desirable);
    this.#store.settled(id);
    this.#forgetSurplus();
    if (ordinal % pruneEvery === 0) this.#store.pruneOutcomes(slot, ordinal);
    const recent = this.#recent.get(id);
    return { slot, ordinal, reward, selected: () => recent ?? JSON.parse(this.#store.text(seq)) };
  }

  #forgetSurplus(): void {
    for (const slot of this.#tallies.surplus(this.#mostSlots)) {
      this.#tallies.forget(slot);
      this.#comparisons.forget(slot);
      this.#store.forget(slot);
      this.#database.prepare("DELETE FROM policies WHERE slot = ?").run(slot);
      this.#listeners.onSlotForgotten(slot);
    }
  }

  /** The mean reward so far. */
  #usual(slot: string): number {
    const { outcomes, total } = this.#tallies.of(slot);
    return outcomes === 0 ? 0 : total / outcomes;
  }

  #forget(log: string): void {
    this.#database.transaction(() => {
      clearTables(this.#database);
      this.#database.prepare("INSERT INTO progress VALUES (?, 0)").run(log);
    });
    this.#position = { log, seq: 0 };
    this.#recent.clear();
    this.#tallies.reload();
    this.#comparisons.reload();
    this.#listeners.onForgotten();
  }
}

interface LedgerListeners {
  /** Gets each pair once in the life of the process, in log order. */
  onJoined(joined: readonly Joined[]): void;
  /** Nothing of its selections and outcomes counts any more; a slot of this name begins to count anew. */
  onSlotForgotten(slot: string): void;
  /** The log is another one: nothing that was learned counts. */
  onForgotten(): void;
}

/** Good is what was rewarded better than usual until then, bad what was worse; undefined for what was as usual. */
function isDesirable(reward: number, usual: number): boolean | undefined {
  return Math.abs(reward - usual) < rounding ? undefined : reward > usual;
}

/**
 * What two requests with the same id have in common to be one. Not the features of candidates, which may be measured, and others when
 * they are asked again.
 */
export const questionOf = ({ slot, context, candidates, by }: Pick<Selected, "slot" | "context" | "candidates" | "by">): string =>
  JSON.stringify([slot, by, Object.entries(context).sort(), candidates.map(({ id }) => id)]);
