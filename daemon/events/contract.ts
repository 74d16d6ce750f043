/** What the event bus offers: the payloads of `event:emit` and its siblings. The module `event` gives it a wire. */
import type { Call, EventRecord } from "../module.ts";

/** What one emit asks for; the body of `event:emit`. */
export interface EmitRequest {
  event: string;
  data?: unknown;
  id?: string;
  delay?: number;
  at?: string;
  condition?: string;
}

/** On whose behalf, as part of what, and until when: the part of a `Call` that an emit needs. */
export type EmitCall = Pick<Call<unknown>, "caller" | "meta" | "signal">;

export interface EmitResult {
  status: "emitted" | "scheduled" | "skipped" | "handled" | "duplicate";
  id: string;
  seq?: number;
  at?: string;
  reason?: string;
  result?: unknown;
}

export interface EventQuery {
  types?: readonly string[];
  run?: string;
  correlation?: string;
  /** RFC 3339; `since` inclusive, `until` exclusive. */
  since?: string;
  until?: string;
  limit?: number;
  cursor?: string;
}

export interface EventPage {
  events: EventRecord[];
  cursor?: string;
}

export interface EventTreeNode {
  readonly id: string;
  readonly type: string;
  readonly time: string;
  readonly source: string;
  readonly seq: number;
  readonly children: EventTreeNode[];
}

export interface EventTree {
  readonly root: EventTreeNode;
  /** More descendants exist than are shown. */
  readonly truncated: boolean;
}

export interface LetterPage {
  letters: {
    id: string;
    listener: string;
    reason: string;
    code?: string;
    deliveries: number;
    failed_at: string;
    event: EventRecord;
  }[];
  cursor?: string;
}

export interface RedriveResult {
  id: string;
  redriven: boolean;
  reason?: string;
}

/** How a module's own event was stored. */
export interface EmittedOwn {
  readonly id: string;
  readonly seq: number;
  readonly duplicate: boolean;
}

/** The event bus itself; the module `event` gives it a wire. Other modules emit with `ModuleContext.emit`. */
export interface Events {
  emit(request: EmitRequest, call: EmitCall): Promise<EmitResult>;
  emitBatch(requests: readonly EmitRequest[], call: EmitCall): Promise<EmitResult[]>;
  query(query: EventQuery): Promise<EventPage>;
  /** The event with this id, of a type that the pattern covers. */
  find(id: string, pattern: string): Promise<EventRecord | undefined>;
  trace(id: string): Promise<EventTree>;
  cancel(id: string): Promise<void>;
  dead(options: { listener?: string; limit: number; cursor?: string }): Promise<LetterPage>;
  redrive(id: string): Promise<RedriveResult>;
}
