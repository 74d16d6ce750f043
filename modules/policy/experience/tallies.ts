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
}

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
    this.#writeSlot = database.prepare("INSERT OR REPLACE INTO slots VALUES (?, ?, ?, ?)");
    this.#writeCandidate = database.prepare("INSERT OR REPLACE INTO tallies VALUES (?, ?, ?, ?)");
    this.reload();
  }

  reload(): void {
    this.#slots.clear();
    this.#changed.clear();
    for (const { slot, selections, outcomes, total } of this.#database.prepare("SELECT * FROM slots").all()) {
      const tally = { selections: Number(selections), outcomes: Number(outcomes), total: Number(total), candidates: new Map() };
      this.#slots.set(String(slot), tally);
    }
    for (const { slot, candidate, outcomes, total } of this.#database.prepare("SELECT * FROM tallies").all()) {
      this.#slots.get(String(slot))?.candidates.set(String(candidate), { outcomes: Number(outcomes), total: Number(total) });
    }
  }

  names(): string[] {
    return [...this.#slots.keys()].sort();
  }

  of(slot: string): Readonly<SlotTally> {
    return this.#slots.get(slot) ?? { selections: 0, outcomes: 0, total: 0, candidates: new Map() };
  }

  select(slot: string): void {
    this.#change(slot).selections++;
  }

  /** @returns the number of this outcome in its slot, from 1 */
  reward(slot: string, candidate: string, reward: number): number {
    const tally = this.#change(slot);
    tally.outcomes++;
    tally.total += reward;
    const before = tally.candidates.get(candidate) ?? { outcomes: 0, total: 0 };
    tally.candidates.delete(candidate);
    tally.candidates.set(candidate, { outcomes: before.outcomes + 1, total: before.total + reward });
    this.#changed.get(slot)?.add(candidate);
    if (tally.candidates.size > mostCandidates) this.#forget(slot, tally.candidates);
    return tally.outcomes;
  }

  flush(): void {
    for (const [slot, candidates] of this.#changed) {
      const tally = this.of(slot);
      this.#writeSlot.run(slot, tally.selections, tally.outcomes, tally.total);
      for (const candidate of candidates) {
        const { outcomes, total } = tally.candidates.get(candidate) ?? { outcomes: 0, total: 0 };
        this.#writeCandidate.run(slot, candidate, outcomes, total);
      }
    }
    this.#changed.clear();
  }

  #change(slot: string): SlotTally {
    const tally = this.#slots.get(slot) ?? { selections: 0, outcomes: 0, total: 0, candidates: new Map() };
    this.#slots.set(slot, tally);
    if (!this.#changed.has(slot)) this.#changed.set(slot, new Set());
    return tally;
  }

  #forget(slot: string, candidates: Map<string, CandidateTally>): void {
    const oldest = candidates.keys().next().value as string;
    candidates.delete(oldest);
    this.#changed.get(slot)?.delete(oldest);
    this.#database.prepare("DELETE FROM tallies WHERE slot = ? AND candidate = ?").run(slot, oldest);
  }
}
