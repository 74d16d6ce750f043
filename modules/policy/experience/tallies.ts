/** How many selections and outcomes each slot had, and how its candidates were rewarded. */
import type { Database, SqlStatement } from "../../../daemon/module.ts";

export interface CandidateTally {
  outcomes: number;
  /** Sum of the rewards. */
  total: number;
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

/** Bound for candidates that never come again. */
const mostCandidates = 1_000;

/** In memory, written to the database by flush(); reload() takes back what was not. */
export class Tallies {
  readonly #database: Database;
  readonly #writeSlot: SqlStatement;
  readonly #writeCandidate: SqlStatement;
  /** Least recently used first. */
  readonly #slots = new Map<string, SlotTally>();
  readonly #changed = new Map<string, Set<string>>();

  constructor(database: Database) {
    this.#database = database;
    this.#writeSlot = database.prepare("INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?, ?)");
    this.#writeCandidate = database.prepare("INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?)");
    this.reload();
  }

  reload(): void {
    this.#slots.clear();
    this.#changed.clear();
    for (const { slot, ...row } of this.#database.prepare("SELECT * FROM slots ORDER BY used").all()) {
      const [selections, outcomes, total, used] = [row.selections, row.outcomes, row.total, row.used].map(Number) as FourNumbers;
      this.#slots.set(String(slot), { selections, outcomes, total, used, candidates: new Map() });
    }
    for (const { slot, candidate, outcomes, total } of this.#database.prepare("SELECT * FROM tallies").all()) {
      this.#slots.get(String(slot))?.candidates.set(String(candidate), { outcomes: Number(outcomes), total: Number(total) });
    }
  }

  names(): string[] {
    return [...this.#slots.keys()].sort();
  }

  of(slot: string): Readonly<SlotTally> {
    return this.#slots.get(slot) ?? newTally();
  }

  /** The slot that was not used for the longest time, if there are more than `most`. */
  surplus(most: number): string | undefined {
    return this.#slots.size > most ? this.#slots.keys().next().value : undefined;
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
    tally.candidates.set(candidate, { outcomes: before.outcomes + 1, total: before.total + reward });
    this.#changed.get(slot)?.add(candidate);
    if (tally.candidates.size > mostCandidates) this.#forgetOldest(slot, tally.candidates);
    return tally.outcomes;
  }

  flush(): void {
    for (const [slot, candidates] of this.#changed) {
      const tally = this.of(slot);
      this.#writeSlot.run(slot, tally.selections, tally.outcomes, tally.total, tally.used);
      for (const candidate of candidates) {
        const { outcomes, total } = tally.candidates.get(candidate) ?? { outcomes: 0, total: 0 };
        this.#writeCandidate.run(slot, candidate, outcomes, total);
      }
    }
    this.#changed.clear();
  }

  #change(slot: string, seq: number): SlotTally {
    const tally = this.#slots.get(slot) ?? newTally();
    tally.used = seq;
    this.#slots.delete(slot);
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
