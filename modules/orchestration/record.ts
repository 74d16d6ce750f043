/** What is written about a run: the first and last entry of its journal, and its line in the module's state. */
import type { MessageMeta } from "../../daemon/module.ts";
import type { StepError, StepResult, StepsEntry } from "./interpreter/journal.ts";
import type { Limits } from "./interpreter/limits.ts";
import type { EndState, PassedJudgement, RunRecord, Usage } from "./schema.ts";

/** The first entry: all that a run is played from, so that a resumed run is the same run (invariant 6). */
export interface StartedEntry {
  readonly type: "started";
  readonly at: string;
  readonly run_id: string;
  readonly agent_id?: string;
  readonly parent_run?: string;
  readonly name?: string;
  readonly depth: number;
  readonly pattern: string;
  readonly version: string;
  readonly commit: string;
  readonly interpreter: "scripted";
  readonly inputs: Readonly<Record<string, unknown>>;
  readonly limits: Limits;
  /** Profile ∩ pattern ∩ parent; undefined = not restricted. */
  readonly capabilities?: readonly string[];
  readonly cause: Omit<MessageMeta, "id">;
}

export interface EndedEntry {
  readonly type: "ended";
  readonly at: string;
  readonly state: EndState;
  readonly result?: unknown;
  readonly error?: StepError;
  readonly usage: Usage;
  /** Of the last steps. */
  readonly results?: readonly StepResult[];
  /** Judgement points that were passed, each line once. */
  readonly judgements: PassedJudgement[];
}

export type RunEntry = StartedEntry | StepsEntry | EndedEntry;

export const recordOf = (started: StartedEntry, ended?: EndedEntry): RunRecord => ({
  run_id: started.run_id,
  ...(started.agent_id && { agent_id: started.agent_id }),
  ...(started.name && { name: started.name }),
  pattern: started.pattern,
  version: started.version,
  commit: started.commit,
  state: ended?.state ?? "running",
  depth: started.depth,
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
