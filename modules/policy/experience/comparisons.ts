/**
 * What is known for comparisons: of the candidates of each slot with one another, and of its contender with the serving policy.
 *
 * 1. Outcomes are added up in the order of the selections. One that comes early waits for those of earlier selections: otherwise
 *    a side whose successes come late would look worse than it is. What is not known 2 000 selections later is left out.
 * 2. It is of constant size, but for the selections that wait for their outcomes, of which the ledger remembers so many.
 * 3. Of policies, an episode counts as one selection, by the sum of its rewards: within [-1, 1], beyond it is clipped. It counts when
 *    all its outcomes are known and it was said to be over, or so much later that no further one is waited for; and
 *    only if one policy made all of its choices.
 * 4. It begins anew when the rewards of the slot are defined anew; that of a contender, with each that begins.
 */
import type { Database } from "../../../daemon/module.ts";
import { add, type Drawn, type Later, noOutcomes, type Side, type Sides } from "../evaluation/confidence-sequence.ts";
import { defaultReward } from "../reward.ts";
import type { Selected } from "../schema.ts";

/** Selections of a slot after which the outcome of an earlier one is not waited for any more. */
const patience = 2_000;
/** Of a slot, the first that are compared. */
const mostCandidates = 1_000;

/** The sides of a comparison, and the selections after those that were added up. */
export interface Known {
  readonly sides: Sides;
  readonly later: readonly Later[];
}

interface Waiting extends Drawn {
  /** Of its selection in the slot, from 1. */
  readonly number: number;
  readonly choice: string;
  /** Which comparison of policies it is part of, and with which odds. */
  readonly part?: Part;
  /** Of a step: the key of the episode that waits for it. */
  readonly episode?: string;
  /** Of an episode: what is known of its steps. */
  readonly steps?: { readonly selected: number; readonly rewarded: number; readonly sum: number; readonly ended: boolean };
}

interface Part {
  readonly comparison: number;
  readonly role: "contender" | "serving";
  readonly odds: number;
}

interface SlotComparisons {
  /** Selections so far. */
  number: number;
  /** That were added up. */
  selections: number;
  /** Definition of the reward as JSON. */
  reward: string;
  /** The latest comparison of policies: contender and serving. */
  comparison: number;
  policies: Sides;
}

interface Slot {
  readonly state: SlotComparisons;
  readonly candidates: Map<string, CandidateSide>;
  /** By decision, or key of an episode, in the order of the selections. */
  readonly waiting: Map<string, Waiting>;
}

interface CandidateSide extends Side {
  /** Lowest odds with which it was chosen. */
  readonly least: number;
}

const neverChosen: CandidateSide = { ...noOutcomes, least: 1 };
const noSides: Sides = { selections: 0, left: noOutcomes, right: noOutcomes };
const newState = (reward: string): SlotComparisons => ({ number: 0, selections: 0, reward, comparison: 0, policies: noSides });

/** In memory, written to the database by flush(); reload() takes back what was not. */
export class Comparisons {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #slots = new Map<string, Slot>();
  /** By slot, what the database does not have yet. */
  readonly #changed = new Map<string, { readonly candidates: Set<string>; readonly decisions: Set<string> }>();

  constructor(database: Database) {
    this.#statements = prepare(database);
    this.reload();
  }

  reload(): void {
    this.#slots.clear();
    this.#changed.clear();
    for (const { slot, state } of this.#statements.slots.all()) this.#slots.set(String(slot), newSlot(JSON.parse(String(state))));
    for (const { slot, candidate, side } of this.#statements.sides.all())
      this.#slots.get(String(slot))?.candidates.set(String(candidate), JSON.parse(String(side)));
    for (const { slot, decision, selection } of this.#statements.waiting.all())
      this.#slots.get(String(slot))?.waiting.set(String(decision), JSON.parse(String(selection)));
  }

  /** @param centre mean reward of the slot so far */
  select({ decision_id, slot, choice, probability, assigned = 1, comparison, episode }: Selected, centre: number): void {
    const { state } = this.#change(slot);
    const part = comparison && { part: { comparison: comparison.number, role: comparison.role, odds: assigned } };
    const selection = { number: ++state.number, choice, odds: probability, centre };
    if (episode === undefined) this.#wait(slot, decision_id, { ...selection, ...part });
    else {
      const key = `episode ${slot} ${episode.id}`;
      this.#selectStep(slot, key, { ...selection, ...part }, episode);
      this.#wait(slot, decision_id, { ...selection, episode: key });
    }
    this.#advance(slot);
  }

  #selectStep(slot: string, key: string, selection: Waiting, { step, last }: NonNullable<Selected["episode"]>): void {
    const known = this.#change(slot).waiting.get(key);
    if (step === 0 && known === undefined) {
      if (selection.part) this.#wait(slot, key, { ...selection, steps: { selected: 1, rewarded: 0, sum: 0, ended: last } });
    } else if (known?.steps) {
      const isSame = known.part?.comparison === selection.part?.comparison && known.part?.role === selection.part?.role;
      const steps = { ...known.steps, selected: known.steps.selected + 1, ended: last };
      this.#wait(slot, key, isSame ? { ...known, steps } : undefined);
    }
  }

  /** @param selection undefined: no more */
  #wait(slot: string, key: string, selection: Waiting | undefined): void {
    const { waiting } = this.#change(slot);
    if (selection === undefined) waiting.delete(key);
    else waiting.set(key, selection);
    this.#changed.get(slot)?.decisions.add(key);
  }

  /** @param last whether its episode is over with it */
  reward(slot: string, decision: string, reward: number, last = false): void {
    const { waiting } = this.#change(slot);
    const waits = waiting.get(decision);
    if (waits !== undefined) this.#wait(slot, decision, { ...waits, reward });
    const episode = waits?.episode === undefined ? undefined : waiting.get(waits.episode);
    if (waits?.episode !== undefined && episode?.steps) {
      const { selected, rewarded, sum, ended } = episode.steps;
      const steps = { selected, rewarded: rewarded + 1, sum: sum + reward, ended: ended || last };
      this.#wait(slot, waits.episode, { ...episode, steps, ...(steps.ended && returnOf(steps)) });
    }
    this.#advance(slot);
  }

  /** The rewards of a slot are defined; nothing changes where they were so before. */
  define(slot: string, definition: object): void {
    const reward = JSON.stringify(definition);
    const { state, candidates, waiting } = this.#change(slot);
    if (state.reward === reward) return;
    Object.assign(state, { ...newState(reward), comparison: state.comparison });
    for (const id of waiting.keys()) this.#changed.get(slot)?.decisions.add(id);
    for (const id of candidates.keys()) this.#changed.get(slot)?.candidates.add(id);
    waiting.clear();
    candidates.clear();
  }

  /** Outcomes that will not come any more. */
  leaveOut(decisions: readonly { readonly id: string; readonly slot: string }[]): void {
    for (const { id, slot } of decisions) {
      const waits = this.#slots.get(slot)?.waiting.get(id);
      if (waits === undefined) continue;
      this.#wait(slot, id, undefined);
      if (waits.episode !== undefined) this.#wait(slot, waits.episode, undefined);
    }
    for (const slot of new Set(decisions.map(({ slot }) => slot))) if (this.#slots.has(slot)) this.#advance(slot);
  }

  forget(slot: string): void {
    const { candidates, waiting } = this.#slots.get(slot) ?? newSlot();
    const { removeSlot, removeSide, removeWaiting } = this.#statements;
    removeSlot.run(slot);
    for (const id of candidates.keys()) removeSide.run(slot, id);
    for (const id of waiting.keys()) removeWaiting.run(id);
    this.#slots.delete(slot);
    this.#changed.delete(slot);
  }

  /** @returns `least`: the lowest odds with which either was chosen */
  ofCandidates(slot: string, left: string, right: string): Known & { readonly least: number } {
    const { state, candidates, waiting } = this.#slots.get(slot) ?? newSlot();
    const [one, other] = [candidates.get(left) ?? neverChosen, candidates.get(right) ?? neverChosen];
    // One that is not among those that are compared may have been chosen.
    if (candidates.size === mostCandidates && (one === neverChosen || other === neverChosen))
      return { sides: noSides, later: [], least: 1 };
    const sideOfCandidate = (id: string) => (id === left ? "left" : id === right ? "right" : "neither");
    const later = [...waiting.values()]
      .filter(({ steps }) => steps === undefined)
      .map((selection): Later => ({ ...selection, side: sideOfCandidate(selection.choice) }));
    const least = later.reduce((lowest, { side, odds }) => (side === "neither" ? lowest : Math.min(lowest, odds)), 1);
    return { sides: { selections: state.selections, left: one, right: other }, later, least: Math.min(least, one.least, other.least) };
  }

  /** The contender on the left, the serving policy on the right. */
  ofPolicies(slot: string, comparison: number): Known {
    const { state, waiting } = this.#slots.get(slot) ?? newSlot();
    const later = [...waiting.values()].flatMap(({ part, centre, reward }): Later[] =>
      part?.comparison === comparison ? [{ odds: part.odds, centre, reward, side: sideOf(part) }] : [],
    );
    return { sides: state.comparison === comparison ? state.policies : noSides, later };
  }

  flush(): void {
    const { writeSlot, writeSide, removeSide, writeWaiting, removeWaiting } = this.#statements;
    for (const [slot, changed] of this.#changed) {
      const { state, candidates, waiting } = this.#slots.get(slot) as Slot;
      writeSlot.run(slot, JSON.stringify(state));
      for (const id of changed.candidates) {
        const side = candidates.get(id);
        if (side === undefined) removeSide.run(slot, id);
        else writeSide.run(slot, id, JSON.stringify(side));
      }
      for (const id of changed.decisions) {
        const selection = waiting.get(id);
        if (selection === undefined) removeWaiting.run(id);
        else writeWaiting.run(id, slot, selection.number, JSON.stringify(selection));
      }
    }
    this.#changed.clear();
  }

  #advance(slot: string): void {
    const { state, waiting } = this.#slots.get(slot) as Slot;
    for (const [id, selection] of waiting) {
      if (selection.reward === undefined && state.number - selection.number < patience) return;
      const { reward } = selection.steps ? returnOf(selection.steps) : selection;
      if (reward !== undefined) this.#add(slot, selection, reward);
      this.#wait(slot, id, undefined);
    }
  }

  #add(slot: string, selection: Waiting, reward: number): void {
    const { state, candidates } = this.#slots.get(slot) as Slot;
    const { choice, odds, centre, part, steps } = selection;
    if (steps === undefined) state.selections++;
    if (steps === undefined && (candidates.has(choice) || candidates.size < mostCandidates)) {
      const known = candidates.get(choice) ?? neverChosen;
      candidates.set(choice, { ...add(known, selection, reward), least: Math.min(known.least, odds) });
      this.#changed.get(slot)?.candidates.add(choice);
    }
    if (part === undefined || part.comparison < state.comparison) return;
    const { selections, ...policies } = part.comparison === state.comparison ? state.policies : noSides;
    const side = sideOf(part);
    state.comparison = part.comparison;
    state.policies = {
      ...policies,
      selections: selections + 1,
      [side]: add(policies[side], { odds: part.odds, centre }, reward),
    };
  }

  #change(slot: string): Slot {
    const known = this.#slots.get(slot) ?? newSlot();
    this.#slots.set(slot, known);
    if (!this.#changed.has(slot)) this.#changed.set(slot, { candidates: new Set(), decisions: new Set() });
    return known;
  }
}

const newSlot = (state = newState(JSON.stringify(defaultReward))): Slot => ({ state, candidates: new Map(), waiting: new Map() });

/** Nothing while an outcome is missing. */
const returnOf = ({ selected, rewarded, sum }: NonNullable<Waiting["steps"]>): { reward?: number } =>
  rewarded === selected ? { reward: Math.max(-1, Math.min(1, sum)) } : {};

const sideOf = ({ role }: Part) => (role === "contender" ? "left" : "right");

const prepare = (database: Database) => ({
  slots: database.prepare("SELECT * FROM comparisons"),
  sides: database.prepare("SELECT * FROM sides"),
  waiting: database.prepare("SELECT * FROM waiting ORDER BY slot, number, decision LIKE 'episode %' DESC"),
  writeSlot: database.prepare("INSERT OR REPLACE INTO comparisons VALUES (?, ?)"),
  writeSide: database.prepare("INSERT OR REPLACE INTO sides VALUES (?, ?, ?)"),
  removeSlot: database.prepare("DELETE FROM comparisons WHERE slot = ?"),
  removeSide: database.prepare("DELETE FROM sides WHERE slot = ? AND candidate = ?"),
  writeWaiting: database.prepare("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?, ?)"),
  removeWaiting: database.prepare("DELETE FROM waiting WHERE decision = ?"),
});
