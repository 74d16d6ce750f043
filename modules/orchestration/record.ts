/** What is written about a run: the entries of its journal, and the events that tell of it. */
import type { MessageMeta } from "../../daemon/module.ts";
import type { Reference } from "./contents.ts";
import type { Recorded, StepError, StepsEntry } from "./interpreter/journal.ts";
import type { Limits } from "./interpreter/limits.ts";
import type { EndState, Interpreter, Lineage, PassedJudgement, RunRecord, UnverifiedClaim, Usage } from "./schema.ts";

/** The first entry: all that a run is played from, so that a resumed run is the same run (invariant 6). */
export interface StartedEntry {
  readonly type: "started";
  /** RFC 3339. */
  readonly at: string;
  readonly run_id: string;
  /** Whoever holds this owner's lease plays the run. */
  readonly owner: string;
  readonly agent_id?: string;
  readonly parent_run?: string;
  readonly name?: string;
  readonly depth: number;
  readonly pattern: string;
  readonly version: string;
  readonly commit: string;
  /** The pattern itself. */
  readonly definition: Reference;
  /** The block of logic that is played; absent = `strategy`. */
  readonly logic?: string;
  readonly interpreter: Interpreter;
  readonly model?: string;
  /** How the profile says to work, for who thinks. */
  readonly instructions?: string;
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly limits: Limits;
  /** Profile ∩ pattern ∩ parent; undefined = not restricted. */
  readonly capabilities?: readonly string[];
  readonly lineage?: Lineage;
  readonly cause: Omit<MessageMeta, "id">;
}

/** Another daemon plays the run from here on: what the earlier one would append is refused. */
export interface TakenEntry {
  readonly type: "taken";
  readonly at: string;
}

/** The run is not played until it is resumed. */
export interface PausedEntry extends Partial<Recorded> {
  readonly type: "paused";
  readonly at: string;
  readonly elapsed: number;
}

export interface ResumedEntry {
  readonly type: "resumed";
  readonly at: string;
}

/** What an agent that works for the run took for an answer. */
export interface ChargedEntry {
  readonly type: "charged";
  readonly at: string;
  readonly agent_id?: string;
  readonly tokens: number;
  readonly cost: number;
}

export interface EndedEntry extends Partial<Recorded> {
  readonly type: "ended";
  readonly at: string;
  readonly state: EndState;
  readonly result?: unknown;
  readonly error?: StepError;
  readonly usage: Usage;
  /** Judgement points that were passed, each line once. */
  readonly judgements: PassedJudgement[];
  /** What a model said that it did, and nothing shows. */
  readonly unverified?: UnverifiedClaim[];
}

export type RunEntry = StartedEntry | StepsEntry | TakenEntry | PausedEntry | ResumedEntry | ChargedEntry | EndedEntry;

/** What the journal so far comes to. */
export interface Played {
  readonly steps: readonly Recorded[];
  readonly usage: Usage;
  readonly isPaused: boolean;
}

export function playedOf(entries: readonly RunEntry[]): Played {
  const steps: Recorded[] = [];
  const usage = { steps: 0, milliseconds: 0, tokens: 0, cost: 0 };
  let isPaused = false;
  for (const entry of entries) {
    if (entry.type === "paused") isPaused = true;
    if (entry.type === "resumed") isPaused = false;
    if (entry.type === "charged") {
      usage.tokens += entry.tokens;
      usage.cost += entry.cost;
    }
    if (entry.type !== "steps" && entry.type !== "paused") continue;
    usage.milliseconds = entry.elapsed;
    const { results = [], intents = [] } = entry;
    steps.push({ results, intents });
    for (const { tokens = 0, cost = 0 } of results) {
      usage.steps++;
      usage.tokens += tokens;
      usage.cost += cost;
    }
  }
  return { steps, usage, isPaused };
}

/** Who a run is, in each event that tells of it. */
export const identityOf = ({ run_id, agent_id, parent_run, pattern, version, commit }: StartedEntry) => ({
  run_id,
  ...(agent_id && { agent_id }),
  ...(parent_run && { parent_run }),
  pattern,
  version,
  commit,
});

/** What else its record tells. */
export const detailsOf = ({ owner, name, depth, interpreter, lineage }: StartedEntry) => ({
  owner,
  ...(name && { name }),
  depth,
  interpreter,
  ...(lineage && { lineage }),
});

export const recordOf = (started: StartedEntry, state: RunRecord["state"] = "running", ended?: EndedEntry): RunRecord => ({
  ...identityOf(started),
  ...detailsOf(started),
  state: ended?.state ?? state,
  started_at: started.at,
  ...(ended && { ended_at: ended.at }),
});

/** Where an event or a command of this run stands: all follow from the event that started it. */
export const causeOf = ({ run_id, agent_id, cause }: StartedEntry): Omit<MessageMeta, "id"> => ({
  ...cause,
  causation: startedEventId(run_id),
  hops: cause.hops + 1,
  run: run_id,
  ...(agent_id && { agent: agent_id }),
});

/** Ids of a run's own events are fixed, so that a repetition after a crash is recognised. */
export const startedEventId = (run: string): string => `${run}/started`;
export const endedEventId = (run: string): string => `${run}/ended`;
/** @param entry index in the journal of what the event tells */
export const changedEventId = (run: string, entry: number): string => `${run}/entry/${entry}`;
