/** What a pattern does to the world: everything an interpreter asks for beside the state of its own run. */
import type { Purse } from "../account.ts";
import type { State } from "../language/direct.ts";

/** Each is one step of the run, and plain JSON, since it stands in the journal. */
export type Effect =
  | { readonly kind: "emit"; readonly event: string; readonly data: unknown; readonly delay?: number }
  | { readonly kind: "call"; readonly command: string; readonly input: unknown }
  /** A command that was thought over; who thinks may leave it undone. */
  | { readonly kind: "consider"; readonly command: string; readonly input: unknown }
  | { readonly kind: "run"; readonly tool: string; readonly input: unknown }
  | { readonly kind: "choose"; readonly slot: string; readonly context: unknown; readonly candidates: readonly unknown[] }
  | { readonly kind: "outcome"; readonly input: Readonly<Record<string, unknown>> }
  | { readonly kind: "track"; readonly input: Readonly<Record<string, unknown>> }
  /** Events of the log; gives a list of them. */
  | { readonly kind: "query"; readonly input: Readonly<Record<string, unknown>> }
  /** The request of `agent:spawn`; gives its reply. */
  | { readonly kind: "spawn"; readonly input: Readonly<Record<string, unknown>> }
  /** The agents of a group that the run has spawned; gives a list of `Member`, the first first. */
  | { readonly kind: "members"; readonly group: string }
  /** Gives a `Sent` for each receiver, in their order. */
  | { readonly kind: "send"; readonly to: readonly string[]; readonly message: unknown; readonly expects_reply: boolean }
  | { readonly kind: "terminate"; readonly agents: readonly string[] }
  /** Gives `{id}` of the request to a human; `within` in seconds. */
  | { readonly kind: "ask"; readonly question: string; readonly options?: readonly unknown[]; readonly within?: number }
  | Wait
  | Question
  /** Records what was answered, after the answer itself is in the journal: it was paid for. */
  | { readonly kind: "decide"; readonly question: Omit<Question, "kind" | "state">; readonly answer: Answer }
  /** A turn of a model that plays the pattern by itself. */
  | { readonly kind: "think"; readonly turn: number }
  /** Milliseconds. */
  | { readonly kind: "sleep"; readonly milliseconds: number };

/** Events of the log since the start of the run. */
export interface EventsWanted {
  readonly of: "events";
  /** A name, or a pattern of names. */
  readonly event: string;
  /** Only what these agents emitted, one event of each; one that ends without is not waited for. */
  readonly from?: readonly string[];
  readonly where?: Predicate;
  /** Positions of events that do not count, since the statement got them before. */
  readonly except: readonly number[];
}

/** Waits until something has happened, from the start of the run on: what came before the wait began counts. */
export interface Wait {
  readonly kind: "await";
  readonly for: /** Gives a list of `Arrival`. */
    | EventsWanted
    /** The end of agents; gives a list of `AgentEnd`. */
    | { readonly of: "agents"; readonly agents: readonly string[] }
    /** Gives a list of the messages that answer. */
    | { readonly of: "replies"; readonly to: readonly Sent[] }
    /** Gives `{answer}`: the human's. */
    | { readonly of: "decision"; readonly id: string };
  /** So many must come. */
  readonly min: number;
  /** When so many came, the rest is not waited for. */
  readonly max: number;
  /** When the time is up, too few are no error. */
  readonly partial: boolean;
  /** RFC 3339: when the wait ends; absent = with the run. */
  readonly until?: string;
}

/** An expression over an event's data; `$event` is the event, `$$` is `state`. */
export interface Predicate {
  readonly jsonata: string;
  readonly state: State;
}

export interface Arrival {
  readonly seq: number;
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly data: unknown;
  readonly agent?: string;
}

export interface AgentEnd {
  readonly agent_id: string;
  readonly state: "completed" | "failed" | "terminated";
  readonly result?: unknown;
  readonly error?: unknown;
}

/** Reply of `agent:send`. */
export interface Sent {
  readonly message_id: string;
  readonly to: string;
  readonly seq: number;
}

/** What statements cannot tell; asked only of interpreters that think. Gives an `Answer`. */
export interface Question {
  readonly kind: "judge";
  /** A condition or the guard of a block wants `holds`; a point may have any answer. */
  readonly about: "condition" | "guard" | "point";
  readonly text: string;
  readonly line: number;
  readonly required: boolean;
  /** The variables at this point. */
  readonly state: State;
}

/** What the interpreter makes of a judgement; the effects of `emit` are steps of their own, held to the run's capabilities. */
export interface Answer {
  /** What was decided, in a few words. */
  readonly decision?: string;
  readonly reason?: string;
  /** From 0 to 1. */
  readonly confidence?: number;
  readonly holds?: boolean;
  /** Variables to set. */
  readonly set?: State;
  /** Events to emit and commands to call, in order. */
  readonly emit?: readonly { readonly event: string; readonly data?: unknown }[];
}

export interface Effects {
  /**
   * @param step number of the step within the run, the same in every attempt: `run/step` is the idempotency key
   * @param purse pays for what a model or a tool costs; what is spent stands in the step's result
   * @throws CodedError
   */
  perform(effect: Effect, step: string, signal: AbortSignal, purse: Purse): Promise<unknown>;
  /**
   * Is the effect one durable write that is recognised by its id when it is repeated, with the same result? Then it is its own
   * entry: it needs no intent in the journal.
   */
  isSelfRecording(effect: Effect): boolean;
  /** The events in the order of the log, until the signal aborts. */
  follow(wanted: EventsWanted, signal: AbortSignal): AsyncIterable<Arrival>;
  /** Changes nothing, so that it needs no intent in the journal and may be done again at will. */
  isRead(effect: Effect): boolean;
  /** May it be performed again after a crash, when nobody knows whether it was? Asked only then. */
  isRepeatable(effect: Effect, step: string): Promise<boolean>;
}
