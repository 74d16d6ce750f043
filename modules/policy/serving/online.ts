/**
 * The policies that learn from each outcome as it comes, one state for each slot that uses them.
 *
 * A state is a fold of the slot's outcomes in their order. It knows the ordinal of the last one, so each counts once: a state
 * that is new, or was saved a while ago, reads what it missed from the ledger.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import type { Database } from "../../../daemon/module.ts";
import { encode } from "../features/encode.ts";
import { hash } from "../features/hash.ts";
import type { FeatureSpec } from "../features/spec.ts";
import type { Joined, Ledger } from "../ledger.ts";
import type { Policy, PolicyKind, PolicyOptions } from "../policies/policy.ts";
import type { Selected } from "../schema.ts";

interface Learning {
  readonly slot: string;
  readonly spec: FeatureSpec;
  readonly policy: Policy;
  /** Ordinal of the last outcome that it has seen. */
  through: number;
  /** Ordinal through which it is saved. */
  saved: number;
  catchingUp?: Promise<void>;
}

/** States in memory; one that is used less is saved, and read again when it is needed. */
const mostInMemory = 64;
const saveEvery = 500;

/** The same slot has the same seed on every machine. */
export const optionsOf = (slot: string, spec: FeatureSpec): PolicyOptions => ({ spec, seed: hash(slot) });

export class OnlinePolicies implements Disposable {
  readonly #database: Database;
  readonly #ledger: Ledger;
  readonly #log: Logger;
  /** Least recently used first. */
  readonly #states = new Map<string, Learning>();

  constructor(database: Database, ledger: Ledger, log: Logger) {
    this.#database = database;
    this.#ledger = ledger;
    this.#log = log;
  }

  /** The policy as it is after all outcomes that the ledger counted; under another spec it learns from all of them anew. */
  async of(slot: string, kind: PolicyKind, spec: FeatureSpec): Promise<Policy> {
    const key = keyOf(slot, kind.name);
    const known = this.#states.get(key);
    const state = known?.spec.version === spec.version ? known : this.#load(slot, kind, spec);
    this.#states.delete(key);
    this.#states.set(key, state);
    if (this.#states.size > mostInMemory) this.#dropOldest();
    while (state.through < this.#ledger.tally(slot).outcomes) {
      state.catchingUp ??= this.#catchUp(state).finally(() => {
        state.catchingUp = undefined;
      });
      await state.catchingUp;
    }
    return state.policy;
  }

  /** Takes each outcome to the policies that are up to date; the others read it later. */
  observe(joined: readonly Joined[]): void {
    for (const [key, state] of this.#states) {
      for (const pair of joined)
        if (pair.slot === state.slot && pair.ordinal === state.through + 1) learn(state, { ...pair, selected: pair.selected() });
      if (state.through >= state.saved + saveEvery) this.#save(key, state);
    }
  }

  /** Nothing counts any more: the log is another one. */
  forget(): void {
    this.#states.clear();
  }

  forgetSlot(slot: string): void {
    for (const [key, state] of this.#states) if (state.slot === slot) this.#states.delete(key);
  }

  [Symbol.dispose](): void {
    for (const [key, state] of this.#states) if (state.through > state.saved) this.#save(key, state);
  }

  #load(slot: string, kind: PolicyKind, spec: FeatureSpec): Learning {
    const options = optionsOf(slot, spec);
    const row = this.#database.prepare("SELECT through, state FROM policies WHERE slot = ? AND policy = ?").get(slot, kind.name);
    if (row !== undefined) {
      try {
        const through = Number(row.through);
        return { slot, spec, policy: kind.load(row.state as Uint8Array, options), through, saved: through };
      } catch (error) {
        this.#log.warn({ error, slot, policy: kind.name }, "a saved policy cannot be used; it learns again from the outcomes");
      }
    }
    return { slot, spec, policy: kind.create(options), through: 0, saved: 0 };
  }

  async #catchUp(state: Learning): Promise<void> {
    for (const missed of this.#ledger.outcomes(state.slot, state.through, Number.MAX_SAFE_INTEGER)) {
      // A state may be brought up to date by observe() meanwhile.
      for (const { ordinal, reward, selected } of missed) {
        if (ordinal > state.through) learn(state, { ordinal, reward, selected: JSON.parse(selected) });
      }
      await nextTurn();
    }
  }

  #save(key: string, state: Learning): void {
    const policy = key.slice(0, key.indexOf(" "));
    this.#database
      .prepare("INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?)")
      .run(state.slot, policy, state.through, state.policy.save());
    state.saved = state.through;
  }

  #dropOldest(): void {
    const [key, state] = this.#states.entries().next().value as [string, Learning];
    if (state.through > state.saved) this.#save(key, state);
    this.#states.delete(key);
  }
}

const keyOf = (slot: string, policy: string): string => `${policy} ${slot}`;

interface Lesson {
  readonly ordinal: number;
  readonly reward: number;
  readonly selected: Selected;
}

/** An online policy learns of the chosen candidate alone. */
function learn(state: Learning, { ordinal, reward, selected }: Lesson): void {
  const { context, candidates, embeddings, choice, probability } = selected;
  const chosen = candidates.filter(({ id }) => id === choice);
  state.policy.observe?.({ situation: encode(state.spec, context, chosen, embeddings), chosen: 0, probability, reward });
  state.through = ordinal;
}
