/** The durable states of the slots: in the state store, changed by compare-and-set. */
import type { ModuleContext } from "../../../daemon/module.ts";
import { defaultSpec, type FeatureSpec } from "../features/spec.ts";
import type { Contender, SlotState } from "./slot-state.ts";

interface Stored {
  readonly slot: string;
  readonly state: SlotState | EarlierState;
}

/** Of versions that knew no features, no numbers of comparisons, and of what was judged the labels only. */
type EarlierState = Omit<SlotState, "features" | "comparisons" | "contender" | "judged"> & {
  readonly features?: FeatureSpec;
  readonly comparisons?: number;
  readonly contender?: Omit<Contender, "comparison">;
  readonly judged: readonly string[];
};

interface Known {
  readonly state: SlotState;
  readonly revision: number;
}

const mostTries = 100;
/** Slots have any name; keys of the store do not. */
const keyOf = (slot: string) => `slot.${Buffer.from(slot).toString("base64url")}`;

export class Slots {
  readonly #context: ModuleContext;
  readonly #fresh: SlotState;
  readonly #known = new Map<string, Known>();
  /** Announcements that are in the log, by slot. */
  readonly #told = new Map<string, string>();

  private constructor(context: ModuleContext, fresh: SlotState) {
    this.#context = context;
    this.#fresh = fresh;
  }

  /** @param fresh state of a slot that was never changed */
  static async open(context: ModuleContext, fresh: SlotState): Promise<Slots> {
    const slots = new Slots(context, fresh);
    for (const { slot } of (await context.state.entries<Stored>()).values()) await slots.#read(slot);
    return slots;
  }

  of(slot: string): SlotState {
    return this.#known.get(slot)?.state ?? this.#fresh;
  }

  /** A slot that was never changed. */
  get fresh(): SlotState {
    return this.#fresh;
  }

  names(): string[] {
    return [...this.#known.keys()].sort();
  }

  /**
   * Changes a slot in one step, and tells of it: the event is emitted again after a crash, under the same id. There is room for one
   * announcement, so what changed before is told first.
   * @param change from the present state to the next; undefined = no change. It may be called several times
   * @returns the state that was reached, undefined if there was no change
   * @throws CodedError EVENT_LOG_UNAVAILABLE, EVENT_OUTCOME_UNKNOWN when an earlier change cannot be told
   */
  async change(slot: string, change: (state: SlotState) => Change | undefined): Promise<SlotState | undefined> {
    for (let attempt = 0; attempt < mostTries; attempt++) {
      await this.#announce(slot);
      const { state, revision } = this.#known.get(slot) ?? { state: this.#fresh, revision: 0 };
      const changed = change(state);
      if (changed === undefined) return undefined;
      const announcement = changed.tell && { id: this.#context.newId(), ...changed.tell };
      const next: SlotState = { ...changed.state, ...(announcement && { announcement }) };
      const reached = await this.#put({ slot, state: next }, revision);
      if (reached === undefined) {
        await this.#read(slot);
        continue;
      }
      this.#known.set(slot, { state: next, revision: reached });
      await this.#announce(slot).catch((error: unknown) => {
        this.#context.log.error({ error, slot }, "a change of what serves could not be told; it is told before the next one");
      });
      return next;
    }
    throw new Error(`the slot ${slot} is being changed all the time`);
  }

  /** Tells what the last change of each slot was, unless that was told before. */
  async announceAgain(): Promise<void> {
    for (const slot of this.#known.keys()) await this.#announce(slot);
  }

  async #announce(slot: string): Promise<void> {
    const { announcement } = this.of(slot);
    if (announcement === undefined || this.#told.get(slot) === announcement.id) return;
    await this.#context.emit(announcement.event, announcement.data, {}, { id: announcement.id });
    this.#told.set(slot, announcement.id);
  }

  /** @returns the new revision, undefined when the slot was changed meanwhile. What fails may have been stored: it is read again */
  async #put(stored: Stored, revision: number): Promise<number | undefined> {
    try {
      return await this.#context.state.put(keyOf(stored.slot), stored, revision);
    } catch (error) {
      await this.#read(stored.slot).catch(() => undefined);
      throw error;
    }
  }

  async #read(slot: string): Promise<void> {
    const found = await this.#context.state.get<Stored>(keyOf(slot));
    if (found === undefined) this.#known.delete(slot);
    else this.#known.set(slot, { state: presentOf(found.value.state), revision: found.revision });
  }
}

function presentOf({ contender, judged, ...state }: SlotState | EarlierState): SlotState {
  return {
    features: defaultSpec,
    comparisons: 0,
    ...state,
    ...(contender && { contender: { comparison: 0, ...contender } }),
    judged: isLabels(judged) ? {} : judged,
  };
}

const isLabels = (judged: SlotState["judged"] | EarlierState["judged"]): judged is readonly string[] => Array.isArray(judged);

export interface Change {
  readonly state: SlotState;
  readonly tell?: { readonly event: string; readonly data: unknown };
}
