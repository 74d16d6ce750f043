/**
 * The selections and outcomes of the event log, joined: what was asked, what was chosen with which odds, how it turned out.
 *
 * 1. The log is the truth: everything here is a projection of it, in log order, and is made again when it is lost.
 * 2. An outcome counts once: the first that is recorded for a selection which is remembered. The place in the log is stored
 *    in the same transaction as what was counted up to it.
 * 3. It is bounded: the last 50 000 selections wait for an outcome, a later one comes too late; of each slot the last 10 000
 *    outcomes are kept, and longer the last 2 500 of the rarer kind, good or bad.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database, EventRecord, LogPosition, ModuleContext, Projection } from "../../daemon/module.ts";
import { clearTables, prepareTables } from "./experience/tables.ts";
import { type SlotTally, Tallies } from "./experience/tallies.ts";
import type { OutcomeText } from "./learner/messages.ts";
import type { Candidate } from "./policies/policy.ts";
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
  readonly selected: Selected;
  readonly reward: number;
}

/** The latest outcomes of a slot that are told apart as its experience. */
export const experienceWindow = 10_000;
/** Of each kind, good and bad, at least so many are kept while there are any. */
export const leastOfAKind = 2_500;
/** Outcomes by which a reader may lag behind and still find all of the above. */
export const readersLag = 2_000;

const chunk = 64;
const pruneEvery = 500;
const types = ["policy:selected", "policy:outcome_recorded", "policy:linked"];

export interface LedgerOptions {
  /** Selections that are remembered. */
  readonly remembered?: number;
}

export class Ledger implements AsyncDisposable {
  readonly #database: Database;
  readonly #tallies: Tallies;
  readonly #remembered: number;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #onJoined: (joined: readonly Joined[]) => void;
  readonly #onForgotten: () => void;
  #position: LogPosition | undefined;
  #sincePruned = 0;
  #projection: Projection | undefined;

  private constructor(database: Database, { remembered = 50_000, onJoined, onForgotten }: LedgerOptions & LedgerListeners) {
    prepareTables(database);
    this.#database = database;
    this.#tallies = new Tallies(database);
    this.#remembered = remembered;
    this.#statements = prepare(database);
    this.#onJoined = onJoined;
    this.#onForgotten = onForgotten;
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

  decision(id: string): Decision | undefined {
    const row = this.#statements.decision.get(id);
    if (row === undefined) return undefined;
    const { slot, choice, owner, ordinal, reward } = row;
    const base = { slot: String(slot), choice: String(choice), owner: String(owner), joined: ordinal !== null };
    return { ...base, ...(typeof reward === "string" && { reward: JSON.parse(reward) as RewardDefinition }) };
  }

  /** What a request with this id was answered, if it asked the same. */
  answered(request: string, slot: string, candidates: readonly Candidate[]): Choice | undefined {
    for (const { selected: text } of this.#statements.answers.all(request, slot)) {
      const selected: Selected = JSON.parse(String(text));
      if (identity(selected.candidates) === identity(candidates)) return selected;
    }
    return undefined;
  }

  /** Decisions whose outcome this tells. */
  awaiting(event: OutcomeSource["event"], key: string): string[] {
    return this.#statements.awaiting.all(event, key).map(({ decision }) => String(decision));
  }

  slots(): string[] {
    return this.#tallies.names();
  }

  tally(slot: string): Readonly<SlotTally> {
    return this.#tallies.of(slot);
  }

  /** The joined pairs of a slot with ordinals in (after, through], in order. */
  outcomes(slot: string, after: number, through: number, limit: number): Joined[] {
    return this.#statements.outcomes.all(slot, after, through, limit).map((row) => ({
      slot,
      ordinal: Number(row.ordinal),
      selected: JSON.parse(String(row.selected)),
      reward: Number(row.reward),
    }));
  }

  /** As outcomes(), unread; a few at a time, so that whoever takes them can let others in between. */
  *texts(slot: string, after: number, through: number): Generator<OutcomeText[]> {
    for (let from = after; ; ) {
      const rows = this.#statements.outcomes.all(slot, from, through, chunk).map(textOf);
      if (rows.length > 0) yield rows;
      if (rows.length < chunk) return;
      from = rows.at(-1)?.ordinal ?? through;
    }
  }

  /** What there is to learn from up to an outcome: the latest ones, and further back the rarer kind. */
  *experience(slot: string, through: number): Generator<OutcomeText[]> {
    const oldest = [0, 1].map((kind) => {
      const first = this.#statements.ofAKindBefore.get(slot, kind, through, leastOfAKind - 1);
      return first === undefined ? 0 : Number(first.ordinal);
    });
    for (let from = 0; ; ) {
      const rows = this.#statements.experience
        .all(slot, from, through, through - experienceWindow, ...(oldest as [number, number]), chunk)
        .map(textOf);
      if (rows.length > 0) yield rows;
      if (rows.length < chunk) return;
      from = rows.at(-1)?.ordinal ?? through;
    }
  }

  /** Label, share and reward of the outcomes after one, in order: what a live comparison is made of. */
  served(slot: string, after: number): { deployment: string; assigned: number; choice: string; probability: number; reward: number }[] {
    return this.#statements.served.all(slot, after).map((row) => ({
      deployment: String(row.served),
      assigned: Number(row.assigned),
      choice: String(row.choice),
      probability: Number(row.probability),
      reward: Number(row.reward),
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
  }

  /** In small transactions, between which the event loop does other things. */
  async #fold(events: readonly EventRecord[], { log }: LogPosition): Promise<void> {
    if (this.#position?.log !== log) this.#forget(log);
    for (let start = 0; start < events.length; start += chunk) {
      if (start > 0) await nextTurn();
      const some = events.slice(start, start + chunk).filter(({ seq }) => seq > (this.#position?.seq ?? 0));
      const last = some.at(-1);
      if (last === undefined) continue;
      const joined: Joined[] = [];
      try {
        this.#database.transaction(() => {
          for (const event of some) this.#take(event, joined);
          this.#tallies.flush();
          this.#statements.progress.run(last.seq);
        });
      } catch (error) {
        this.#tallies.reload();
        throw error;
      }
      this.#position = { log, seq: last.seq };
      if (joined.length > 0) this.#onJoined(joined);
    }
  }

  #take({ type, data, seq, run }: EventRecord, joined: Joined[]): void {
    switch (type) {
      case "policy:selected":
        this.#select(data as Selected, seq, run);
        break;
      case "policy:linked": {
        const { decision_id, outcome_from } = data as Linked;
        this.#statements.await.run(outcome_from.event, outcome_from.id, decision_id);
        break;
      }
      default: {
        const pair = this.#record(data as Recorded);
        if (pair) joined.push(pair);
      }
    }
  }

  #select(selected: Selected, seq: number, run: string | undefined): void {
    const {
      decision_id: id,
      request,
      slot,
      choice,
      probability,
      policy,
      deployment = policy,
      assigned = 1,
      by = "client:client",
    } = selected;
    const text = JSON.stringify(selected);
    const { changes } = this.#statements.insert.run(
      seq,
      id,
      slot,
      request,
      by,
      run ?? null,
      deployment,
      choice,
      probability,
      assigned,
      text,
    ) as { changes: number };
    if (changes === 0) return;
    this.#tallies.select(slot);
    const key = selected.outcome_from && awaitedKey(selected.outcome_from, choice, run);
    if (selected.outcome_from && key !== undefined) this.#statements.await.run(selected.outcome_from.event, key, id);
    if (++this.#sincePruned >= Math.min(pruneEvery, this.#remembered / 10)) this.#pruneSelections();
  }

  #record({ decision_id: id, reward, success }: Recorded): Joined | undefined {
    const row = this.#statements.pending.get(id);
    if (row === undefined) return undefined;
    const slot = String(row.slot);
    const { outcomes, total } = this.#tallies.of(slot);
    // Good is what succeeded; where nobody says so, what was better than usual until then.
    const desirable = success ?? reward > (outcomes === 0 ? 0 : total / outcomes);
    const ordinal = this.#tallies.reward(slot, String(row.choice), reward);
    this.#statements.join.run(ordinal, reward, desirable ? 1 : 0, id);
    this.#statements.settled.run(id);
    if (ordinal % pruneEvery === 0) this.#pruneOutcomes(slot, ordinal);
    return { slot, ordinal, selected: JSON.parse(String(row.selected)), reward };
  }

  #pruneSelections(): void {
    this.#sincePruned = 0;
    this.#statements.pruneSelections.run(this.#remembered);
    this.#statements.pruneAwaited.run();
  }

  #pruneOutcomes(slot: string, ordinal: number): void {
    const oldest = ordinal - experienceWindow - readersLag;
    if (oldest <= 0) return;
    for (const kind of [0, 1]) {
      const last = this.#statements.ofAKind.get(slot, kind, leastOfAKind + readersLag - 1);
      if (last !== undefined) this.#statements.pruneOutcomes.run(slot, kind, Math.min(oldest, Number(last.ordinal) - 1));
    }
  }

  #forget(log: string): void {
    this.#database.transaction(() => {
      clearTables(this.#database);
      this.#database.prepare("INSERT INTO progress VALUES (?, 0)").run(log);
    });
    this.#position = { log, seq: 0 };
    this.#tallies.reload();
    this.#onForgotten();
  }
}

interface LedgerListeners {
  /** Gets each pair once in the life of the process, in log order. */
  onJoined(joined: readonly Joined[]): void;
  /** The log is another one: nothing that was learned counts. */
  onForgotten(): void;
}

/** Under which an event is found that tells the outcome; undefined when nothing can tell it yet. */
function awaitedKey({ event, id }: OutcomeSource, choice: string, run: string | undefined): string | undefined {
  if (id !== undefined || run === undefined) return id;
  return event === "tool" ? toolKey(run, choice) : event === "run" ? run : undefined;
}

/** The next call of a tool in a run. */
export const toolKey = (run: string, tool: string): string => `${run} ${tool}`;

const textOf = ({ selected, reward, ordinal }: Record<string, unknown>): OutcomeText => ({
  selected: String(selected),
  reward: Number(reward),
  ordinal: Number(ordinal),
});

const identity = (candidates: readonly Candidate[]): string => JSON.stringify(candidates.map(({ id }) => id));

const prepare = (database: Database) => ({
  progress: database.prepare("UPDATE progress SET seq = ?"),
  decision: database.prepare("SELECT slot, choice, owner, ordinal, selected ->> '$.reward' AS reward FROM decisions WHERE id = ?"),
  pending: database.prepare("SELECT slot, choice, selected FROM decisions WHERE id = ? AND ordinal IS NULL"),
  answers: database.prepare("SELECT selected FROM decisions WHERE request = ? AND slot = ?"),
  insert: database.prepare(
    `INSERT OR IGNORE INTO decisions (seq, id, slot, request, owner, run, served, choice, probability, assigned, selected)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  ),
  join: database.prepare("UPDATE decisions SET ordinal = ?, reward = ?, desirable = ? WHERE id = ?"),
  outcomes: database.prepare("SELECT * FROM decisions WHERE slot = ? AND ordinal > ? AND ordinal <= ? ORDER BY ordinal LIMIT ?"),
  ofAKindBefore: database.prepare(
    "SELECT ordinal FROM decisions WHERE slot = ? AND desirable = ? AND ordinal <= ? ORDER BY ordinal DESC LIMIT 1 OFFSET ?",
  ),
  experience: database.prepare(
    `SELECT ordinal, selected, reward FROM decisions WHERE slot = ? AND ordinal > ? AND ordinal <= ?
     AND (ordinal > ? OR (desirable = 0 AND ordinal >= ?) OR (desirable = 1 AND ordinal >= ?)) ORDER BY ordinal LIMIT ?`,
  ),
  served: database.prepare(
    "SELECT served, assigned, choice, probability, reward FROM decisions WHERE slot = ? AND ordinal > ? ORDER BY ordinal",
  ),
  ofAKind: database.prepare(
    "SELECT ordinal FROM decisions WHERE slot = ? AND ordinal IS NOT NULL AND desirable = ? ORDER BY ordinal DESC LIMIT 1 OFFSET ?",
  ),
  pruneOutcomes: database.prepare("DELETE FROM decisions WHERE slot = ? AND ordinal IS NOT NULL AND desirable = ? AND ordinal <= ?"),
  pruneSelections: database.prepare(
    `DELETE FROM decisions WHERE ordinal IS NULL AND seq <= (SELECT seq FROM decisions ORDER BY seq DESC LIMIT 1 OFFSET ?)`,
  ),
  pruneAwaited: database.prepare("DELETE FROM awaited WHERE decision NOT IN (SELECT id FROM decisions)"),
  await: database.prepare("INSERT OR IGNORE INTO awaited VALUES (?, ?, ?)"),
  awaiting: database.prepare("SELECT decision FROM awaited WHERE source = ? AND key = ?"),
  settled: database.prepare("DELETE FROM awaited WHERE decision = ?"),
});
