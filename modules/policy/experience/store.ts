/** The decisions of the ledger in SQLite: written once as they were selected, and once more when their outcome comes. */
import type { Database, SqlStatement, SqlValue } from "../../../daemon/module.ts";
import type { OutcomeText } from "../learner/messages.ts";
import type { OutcomeSource, Selected } from "../schema.ts";

/** The latest outcomes of a slot that are told apart as its experience. */
export const experienceWindow = 10_000;
/** Of each kind, good and bad, at least so many are kept while there are any. */
const leastOfAKind = 2_500;
/** Outcomes by which a reader may lag behind and still find all of the above. */
export const readersLag = 2_000;

/** Decisions of all slots together. */
const mostDecisions = 200_000;
const readAtOnce = 16;

/** Where a selection stands in the log, and the columns of its row. */
export interface Insertion {
  readonly seq: number;
  readonly selected: Selected;
  readonly owner: string;
}

export class DecisionStore {
  readonly #statements: ReturnType<typeof prepare>;
  /** About how many there are. */
  #count: number;

  constructor(database: Database) {
    this.#statements = prepare(database);
    this.#count = Number(this.#statements.count.get()?.count);
  }

  /** Everything up to this position in the log is counted. */
  reached(seq: number): void {
    this.#statements.progress.run(seq);
  }

  /** @returns characters of its text; undefined when it is known already */
  insert({ seq, selected, owner }: Insertion): number | undefined {
    const { decision_id: id, slot, request, choice, reward } = selected;
    const inserted = this.#statements.insert.run(seq, id, slot, request, owner, choice, reward ? JSON.stringify(reward) : null);
    if ((inserted as { changes: number }).changes === 0) return undefined;
    const text = JSON.stringify(selected);
    this.#statements.insertText.run(seq, text);
    this.#count++;
    return text.length;
  }

  pending(id: string): { seq: number; slot: string; choice: string } | undefined {
    const row = this.#statements.pending.get(id);
    return row && { seq: Number(row.seq), slot: String(row.slot), choice: String(row.choice) };
  }

  /** @param desirable undefined: neither good nor bad */
  join(seq: number, ordinal: number, reward: number, desirable: boolean | undefined): void {
    this.#statements.join.run(ordinal, reward, desirable === undefined ? null : Number(desirable), seq);
  }

  row(id: string): Record<string, unknown> | undefined {
    return this.#statements.decision.get(id);
  }

  /** The texts of the selections that answered a request of this owner. */
  answers(request: string, slot: string, owner: string): string[] {
    return this.#statements.answers.all(request, slot, owner).map(({ selected }) => String(selected));
  }

  text(seq: number): string {
    return String(this.#statements.text.get(seq)?.selected);
  }

  await(event: OutcomeSource["event"], key: string, decision: string): void {
    this.#statements.await.run(event, key, decision);
  }

  awaiting(event: OutcomeSource["event"], key: string): string[] {
    return this.#statements.awaiting.all(event, key).map(({ decision }) => String(decision));
  }

  settled(decision: string): void {
    this.#statements.settled.run(decision);
  }

  /** Outcomes of a slot with ordinals in (after, through], in order; a few at a time, so that others get in between. */
  *outcomes(slot: string, after: number, through: number): Generator<OutcomeText[]> {
    yield* pages((from) => this.#statements.outcomes.all(slot, from, through, readAtOnce), after);
  }

  /** What there is to learn from up to an outcome: the latest ones, and further back the rarer kind. */
  *experience(slot: string, through: number): Generator<OutcomeText[]> {
    const [bad, good] = [0, 1].map((kind) => this.#ordinalOf(slot, kind, through, leastOfAKind)) as [number, number];
    yield* pages((from) => this.#statements.experience.all(slot, from, through, through - experienceWindow, bad, good, readAtOnce), 0);
  }

  /**
   * Forgets selections without an outcome, but for the last ones; and the oldest of all, where there are too many.
   * @returns those for which no outcome is awaited any more
   */
  pruneSelections(remembered: number): { readonly id: string; readonly slot: string }[] {
    const forgotten = this.#statements.pruneSelections.all(remembered).map(({ id, slot }) => ({ id: String(id), slot: String(slot) }));
    this.#count -= forgotten.length;
    if (this.#count > mostDecisions) this.#delete(this.#statements.pruneOldest, this.#count - mostDecisions);
    this.#statements.pruneAwaited.run();
    return forgotten;
  }

  /** Forgets what is no experience any more, `through` being the latest outcome of the slot. */
  pruneOutcomes(slot: string, through: number): void {
    const oldest = through - experienceWindow - readersLag;
    if (oldest <= 0) return;
    this.#delete(this.#statements.pruneOutcomes, slot, null, oldest);
    for (const kind of [0, 1]) {
      const last = this.#ordinalOf(slot, kind, through, leastOfAKind + readersLag);
      this.#delete(this.#statements.pruneOutcomes, slot, kind, Math.min(oldest, last - 1));
    }
  }

  /** Forgets the outcomes of a slot; selections that wait for theirs are bounded by themselves. */
  forget(slot: string): void {
    this.#delete(this.#statements.forget, slot);
  }

  #delete(statement: SqlStatement, ...values: SqlValue[]): void {
    this.#count -= Number((statement.run(...values) as { changes: number }).changes);
  }

  /** The ordinal of the count-th latest outcome of a kind; 0 if there are fewer. */
  #ordinalOf(slot: string, kind: number, through: number, count: number): number {
    return Number(this.#statements.ofAKind.get(slot, kind, through, count - 1)?.ordinal ?? 0);
  }
}

function* pages(read: (from: number) => Record<string, unknown>[], after: number): Generator<OutcomeText[]> {
  for (let from = after; ; ) {
    const rows = read(from) as unknown as OutcomeText[];
    if (rows.length > 0) yield rows;
    if (rows.length < readAtOnce) return;
    from = rows[rows.length - 1]?.ordinal ?? from;
  }
}

const outcomeText =
  "SELECT ordinal, reward, desirable, selected FROM decisions JOIN texts USING (seq) WHERE slot = ? AND ordinal > ? AND ordinal <= ?";

const prepare = (database: Database) => ({
  progress: database.prepare("UPDATE progress SET seq = ?"),
  insert: database.prepare(
    "INSERT OR IGNORE INTO decisions (seq, id, slot, request, owner, choice, graded_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
  ),
  insertText: database.prepare("INSERT INTO texts VALUES (?, ?)"),
  pending: database.prepare("SELECT seq, slot, choice FROM decisions WHERE id = ? AND ordinal IS NULL"),
  join: database.prepare("UPDATE decisions SET ordinal = ?, reward = ?, desirable = ? WHERE seq = ?"),
  decision: database.prepare("SELECT slot, choice, owner, ordinal, graded_by FROM decisions WHERE id = ?"),
  answers: database.prepare("SELECT selected FROM decisions JOIN texts USING (seq) WHERE request = ? AND slot = ? AND owner = ?"),
  text: database.prepare("SELECT selected FROM texts WHERE seq = ?"),
  outcomes: database.prepare(`${outcomeText} ORDER BY ordinal LIMIT ?`),
  experience: database.prepare(
    `${outcomeText} AND (ordinal > ? OR (desirable = 0 AND ordinal >= ?) OR (desirable = 1 AND ordinal >= ?)) ORDER BY ordinal LIMIT ?`,
  ),
  ofAKind: database.prepare(
    "SELECT ordinal FROM decisions WHERE slot = ? AND desirable = ? AND ordinal <= ? ORDER BY ordinal DESC LIMIT 1 OFFSET ?",
  ),
  pruneOutcomes: database.prepare("DELETE FROM decisions WHERE slot = ? AND ordinal IS NOT NULL AND desirable IS ? AND ordinal <= ?"),
  pruneSelections: database.prepare(
    "DELETE FROM decisions WHERE ordinal IS NULL AND seq <= (SELECT seq FROM decisions ORDER BY seq DESC LIMIT 1 OFFSET ?) RETURNING id, slot",
  ),
  forget: database.prepare("DELETE FROM decisions WHERE slot = ? AND ordinal IS NOT NULL"),
  count: database.prepare("SELECT count(*) AS count FROM decisions"),
  pruneOldest: database.prepare("DELETE FROM decisions WHERE seq IN (SELECT seq FROM decisions ORDER BY seq LIMIT ?)"),
  pruneAwaited: database.prepare("DELETE FROM awaited WHERE decision NOT IN (SELECT id FROM decisions)"),
  await: database.prepare("INSERT OR IGNORE INTO awaited VALUES (?, ?, ?)"),
  awaiting: database.prepare("SELECT decision FROM awaited WHERE source = ? AND key = ?"),
  settled: database.prepare("DELETE FROM awaited WHERE decision = ?"),
});
