/** How many selections and outcomes each slot had, and how its candidates were rewarded. */
import type { Database, SqlStatement } from "../../../daemon/module.ts";

export interface CandidateTally {
  outcomes: number;
  /** Sum of the rewards. */
  total: number;
  /** Place in the log of its last outcome. */
  used: number;
}

export interface SlotTally {
  selections: number;
  outcomes: number;
  total: number;
  /** The one that was rewarded longest ago first. */
  readonly candidates: Map<string, CandidateTally>;
  /** Place in the log of its last selection or outcome. */
  used: number;
}

type FourNumbers = [number, number, number, number];

const newTally = (): SlotTally => ({ selections: 0, outcomes: 0, total: 0, used: 0, candidates: new Map() });

/** Share by which there may be more slots than are kept: to find the ones to forget takes long. */
const slack = 0.01;
/** Bound for candidates that never come again. */
const mostCandidates = 1_000;

/** In memory, written to the database by flush(); reload() takes back what was not. */
export class Tallies {
  readonly #database: Database;
  readonly #writeSlot: SqlStatement;
  readonly #writeCandidate: SqlStatement;
  readonly #slots = new Map<string, SlotTally>();
  readonly #changed = new Map<string, Set<string>>();

  constructor(database: Database) {
    this.#database = database;
    this.#writeSlot = database.prepare("INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?)");
    this.#writeCandidate = database.prepare("INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?, ?)");
    this.reload();
  }

  reload(): void {
    this.#slots.clear();
    this.#changed.clear();
    for (const { slot, ...row } of this.#database.prepare("SELECT * FROM slots").all()) {
      const [selections, outcomes, total, used] = [row.selections, row.outcomes, row.total, row.used].map(Number) as FourNumbers;
      this.#slots.set(String(slot), { selections, outcomes, total, used, candidates: new Map() });
    }
    for (const { slot, candidate, ...row } of this.#database.prepare("SELECT * FROM tallies ORDER BY used").all()) {
      const [outcomes, total, used] = [row.outcomes, row.total, row.used].map(Number) as [number, number, number];
      this.#slots.get(String(slot))?.candidates.set(String(candidate), { outcomes, total, used });
    }
  }

  names(): string[] {
    return [...this.#slots.keys()].sort();
  }

  of(slot: string): Readonly<SlotTally> {
    return this.#slots.get(slot) ?? newTally();
  }

  /**
   * The slots beyond `most`, several at a time: those with the fewest outcomes, of these the ones that were not used for the longest time. So
   * however many names are made up, what was learned stays.
   */
  surplus(most: number): string[] {
    if (this.#slots.size <= most * (1 + slack)) return [];
    return [...this.#slots]
      .sort(([, left], [, right]) => left.outcomes - right.outcomes || left.used - right.used)
      .slice(0, this.#slots.size - most)
      .map(([slot]) => slot);
  }

  forget(slot: string): void {
    this.#slots.delete(slot);
    this.#changed.delete(slot);
    this.#database.prepare("DELETE FROM slots WHERE slot = ?").run(slot);
    this.#database.prepare("DELETE FROM tallies WHERE slot = ?").run(slot);
  }

  /** @param seq place of the selection in the log */
  select(slot: string, seq: number): void {
    this.#change(slot, seq).selections++;
  }

  /** @param seq place of the outcome in the log. @returns the number of this outcome in its slot, from 1 */
  reward(slot: string, candidate: string, reward: number, seq: number): number {
    const tally = this.#change(slot, seq);
    tally.outcomes++;
    tally.total += reward;
    const before = tally.candidates.get(candidate) ?? { outcomes: 0, total: 0 };
    tally.candidates.delete(candidate);
    tally.candidates.set(candidate, { outcomes: before.outcomes + 1, total: before.total + reward, used: seq });
    this.#changed.get(slot)?.add(candidate);
    if (tally.candidates.size > mostCandidates) this.#forgetOldest(slot, tally.candidates);
    return tally.outcomes;
  }

  flush(): void {
    for (const [slot, candidates] of this.#changed) {
      const tally = this.of(slot);
      this.#writeSlot.run(slot, tally.selections, tally.outcomes, tally.total, tally.used);
      for (const candidate of candidates) {
        const { outcomes, total, used } = tally.candidates.get(candidate) as CandidateTally;
        this.#writeCandidate.run(slot, candidate, outcomes, total, used);
      }
    }
    this.#changed.clear();
  }

  #change(slot: string, seq: number): SlotTally {
    const tally = this.#slots.get(slot) ?? newTally();
    tally.used = seq;
    this.#slots.set(slot, tally);
    if (!this.#changed.has(slot)) this.#changed.set(slot, new Set());
    return tally;
  }

  #forgetOldest(slot: string, candidates: Map<string, CandidateTally>): void {
    const oldest = candidates.keys().next().value as string;
    candidates.delete(oldest);
    this.#changed.get(slot)?.delete(oldest);
    this.#database.prepare("DELETE FROM tallies WHERE slot = ? AND candidate = ?").run(slot, oldest);
  }
}
