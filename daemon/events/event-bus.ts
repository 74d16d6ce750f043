/**
 * What `event:emit` and its siblings do. The universal primitive: a command is forwarded, a plain event is stored; both may
 * be conditional, delayed and idempotent.
 *
 * 1. Nothing is stored, forwarded or scheduled before the caller's capabilities were checked on the target.
 * 2. Events in a module's domain come from that module alone.
 * 3. A condition that does not parse or does not evaluate fails closed.
 * 4. An id of the daemon's own form comes from a module, or is that of the request itself: nobody emits what the daemon would take
 *    for its own event (see message-ids.ts).
 */
import { covers, emitTarget } from "../capabilities.ts";
import { CodedError } from "../errors.ts";
import type { Attempt, Caller, EventRecord, Expressions, MessageMeta } from "../module.ts";
import { assertName, domainOf } from "../names.ts";
import { retry } from "../retry.ts";
import type {
  EmitCall,
  EmitRequest,
  EmitResult,
  EmittedOwn,
  EventPage,
  EventQuery,
  Events,
  EventTree,
  LetterPage,
  RedriveResult,
} from "./contract.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { Delivery } from "./delivery.ts";
import type { UnstoredEvent } from "./envelope.ts";
import type { EventIndex } from "./event-index.ts";
import type { Append, EventLog } from "./event-log.ts";
import { EventReader } from "./event-reader.ts";
import { newId } from "./ids.ts";
import { idGrammar, isOwnId } from "./message-ids.ts";
import type { Acknowledgement } from "./publisher.ts";
import { type Scheduled, type Schedules, scheduleListener } from "./schedules.ts";

/** What the bus needs to know of the modules. */
export interface Commands {
  has(name: string): boolean;
  /** Is this domain a module's? */
  owns(domain: string): boolean;
  declaresEvent(name: string): boolean;
  /** @throws CodedError when a call with this input by this caller would be refused */
  assertCallable(name: string, input: unknown, caller: Caller): void;
  call(name: string, input: unknown, caller: Caller, meta: MessageMeta, signal?: AbortSignal): Promise<unknown>;
  /** @throws CodedError when a human has to approve the attempt, and has not */
  assertApproved(attempt: Attempt): Promise<void>;
}

export interface EventBusOptions {
  readonly log: EventLog;
  readonly index: EventIndex;
  readonly deadLetters: DeadLetters;
  readonly delivery: Delivery;
  readonly expressions: Expressions;
  readonly commands: Commands;
}

/** An event of a batch, and where its result goes. */
interface BatchMember {
  readonly append: Append;
  readonly index: number;
}

const maxHops = 8;
/** Milliseconds that a redriven schedule may take. */
const redriveTime = 20_000;
const longestDelay = 10 * 365 * 24 * 3600; // seconds
const rfc3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i;

export class EventBus implements Events {
  readonly #options: EventBusOptions;
  readonly #reader: EventReader;
  #schedules: Schedules | undefined;

  constructor(options: EventBusOptions) {
    this.#options = options;
    this.#reader = new EventReader(options);
  }

  /** Schedules fire through the bus, so they come after it. */
  set schedules(schedules: Schedules) {
    this.#schedules = schedules;
  }

  async emit(request: EmitRequest, call: EmitCall): Promise<EmitResult> {
    const { caller, meta } = call;
    const isCommand = this.#admit(request, caller, meta);
    const id = request.id ?? newId();
    const at = dueTime(request);
    if (isCommand && at !== undefined) this.#options.commands.assertCallable(request.event, request.data ?? {}, caller);
    if (request.condition !== undefined) {
      const reason = await this.#whyNot(request);
      if (reason !== undefined) return { status: "skipped", id, reason };
      call.signal.throwIfAborted();
    }
    if (!isCommand && caller.kind === "agent") await this.#assertApproved(request, caller, { ...meta, id });
    // A message that starts a causal tree lends it its id.
    const event = this.#event(request, id, caller, meta.correlation === meta.id ? { ...meta, correlation: id } : meta);
    if (at !== undefined) return this.#schedule({ event, caller }, at, request.id !== undefined);
    if (isCommand) {
      const result = await this.#options.commands.call(request.event, request.data ?? {}, caller, { ...meta, id }, call.signal);
      return { status: "handled", id, result };
    }
    return this.#store(event, request.id !== undefined);
  }

  /** All or nothing; events whose condition is false, or whose id is known, are left out. */
  async emitBatch(requests: readonly EmitRequest[], { caller, meta, signal }: EmitCall): Promise<EmitResult[]> {
    for (const [index, request] of requests.entries()) {
      if (this.#admit(request, caller, meta) || request.delay !== undefined || request.at !== undefined) {
        throw new CodedError("REQUEST_INVALID", `events[${index}]: a batch holds plain events, neither commands nor delayed ones`, {
          index,
        });
      }
    }
    const results: EmitResult[] = [];
    const wanted: BatchMember[] = [];
    for (const [index, request] of requests.entries()) {
      const id = request.id ?? newId();
      const reason = request.condition === undefined ? undefined : await this.#whyNot(request);
      if (reason !== undefined) results[index] = { status: "skipped", id, reason };
      else {
        if (caller.kind === "agent") await this.#assertApproved(request, caller, { ...meta, id });
        wanted.push({ index, append: { event: this.#event(request, id, caller, meta), deduplicate: request.id !== undefined } });
      }
    }
    signal.throwIfAborted();
    await this.#storeBatch(wanted, results);
    return results;
  }

  /**
   * The stream refuses a batch with an id that it has, and does not say which: then the index is asked, which has caught up
   * with whatever the stream could mean.
   */
  async #storeBatch(members: readonly BatchMember[], results: EmitResult[]): Promise<void> {
    const seqOf = new Map<string, number>();
    const fresh = new Map<string, BatchMember>();
    for (const member of members) {
      const { id } = member.append.event;
      const known = member.append.deduplicate ? this.#options.index.findById(id) : undefined;
      if (known !== undefined) seqOf.set(id, known);
      else if (!fresh.has(id)) fresh.set(id, member);
    }
    const batch = [...fresh.values()];
    const stored = batch.length === 0 ? [] : await this.#options.log.appendAll(batch.map(({ append }) => append));
    if (stored === "contains a duplicate") {
      await this.#options.index.catchUp();
      return this.#storeBatch(members, results);
    }
    for (const [position, { index, append }] of batch.entries()) {
      const { seq, duplicate } = stored[position] as Acknowledgement;
      seqOf.set(append.event.id, seq);
      results[index] = { status: duplicate ? "duplicate" : "emitted", id: append.event.id, seq };
    }
    for (const { index, append } of members) {
      const { id } = append.event;
      results[index] ??= { status: "duplicate", id, seq: seqOf.get(id) as number };
    }
  }

  /** Emits an event of a module's own domain. Only one of the same domain can be the one that it repeats. */
  async emitOwn(name: string, data: unknown, source: string, cause: Partial<MessageMeta>, id?: string): Promise<EmittedOwn> {
    const known = id === undefined ? undefined : this.#options.index.findById(id, `${domainOf(name)}:*`);
    if (id !== undefined && known !== undefined) return { id, seq: known, duplicate: true };
    const eventId = id ?? newId();
    const meta: MessageMeta = { id: eventId, correlation: eventId, hops: 0, ...cause };
    if (meta.hops > maxHops) throw tooManyHops(name, meta.hops);
    const event = eventOf(name, data, eventId, `module/${source}`, meta);
    const { seq, duplicate } = await this.#options.log.append({ event, deduplicate: id !== undefined });
    return { id: event.id, seq, duplicate };
  }

  /**
   * Emits what a schedule held; a repetition is recognised by its id. A plain event can fail only while the log is away: then it
   * is tried until it is stored, or the signal aborts.
   */
  async fire({ event, caller }: Scheduled, signal: AbortSignal): Promise<void> {
    if (this.#options.commands.has(event.type)) {
      const { type, time, source, data, ...meta } = event;
      await this.#options.commands.call(type, data ?? {}, caller, meta);
      return;
    }
    const store = async () => {
      await this.#options.index.catchUp();
      if (this.#options.index.findById(event.id) !== undefined) return;
      await this.#options.log.append({ event: { ...event, time: new Date().toISOString() }, deduplicate: true });
    };
    await retry(store, { signal });
  }

  query(query: EventQuery): Promise<EventPage> {
    return this.#reader.query(query);
  }

  find(id: string, pattern: string): Promise<EventRecord | undefined> {
    return this.#reader.find(id, pattern);
  }

  trace(id: string): Promise<EventTree> {
    return this.#reader.trace(id);
  }

  async cancel(id: string): Promise<void> {
    await this.#schedules?.cancel(id);
  }

  dead(options: { listener?: string; limit: number; cursor?: string }): Promise<LetterPage> {
    return this.#options.deadLetters.list(options);
  }

  /** A letter stays until its event was handled. @throws CodedError DEAD_LETTER_NOT_FOUND */
  async redrive(id: string): Promise<RedriveResult> {
    const letter = await this.#options.deadLetters.get(id);
    const { listener, event, caller } = letter;
    try {
      if (listener === scheduleListener && caller !== undefined) await this.fire({ event, caller }, AbortSignal.timeout(redriveTime));
      else await this.#options.delivery.redeliver(listener, event);
    } catch (error) {
      return { id, redriven: false, reason: error instanceof Error ? error.message : String(error) };
    }
    await this.#options.deadLetters.remove(id);
    return { id, redriven: true };
  }

  /** Checks everything that needs no waiting. @returns whether the target is a command */
  #admit(request: EmitRequest, caller: Caller, meta: MessageMeta): boolean {
    const name = assertName(request.event);
    assertMayGive(request.id, caller, meta);
    if (meta.hops > maxHops) throw tooManyHops(name, meta.hops);
    const { commands } = this.#options;
    if (commands.has(name)) return true; // its capability is checked where it is called
    if (commands.owns(domainOf(name))) {
      if (!commands.declaresEvent(name)) throw new CodedError("COMMAND_NOT_FOUND", `no module answers ${name}`, { command: name });
      throw new CodedError("EVENT_RESERVED", `${name} is emitted by the module ${domainOf(name)} alone`, { event: name });
    }
    if (!covers(caller.capabilities, emitTarget(name))) {
      throw new CodedError("CAPABILITY_DENIED", `${caller.id} may not emit ${name}`, { caller: caller.id, target: emitTarget(name) });
    }
    return false;
  }

  #assertApproved({ event, data }: EmitRequest, caller: Caller, meta: MessageMeta): Promise<void> {
    const input = { event, ...(data !== undefined && { data }) };
    return this.#options.commands.assertApproved({ command: "event:emit", input, target: emitTarget(event), caller, meta });
  }

  /** @returns why the condition is not met; undefined when it is */
  async #whyNot({ event, data, condition = "" }: EmitRequest): Promise<string | undefined> {
    const met = await this.#options.expressions.evaluate(condition, { event, data: data ?? null, now: new Date().toISOString() });
    if (met === true) return undefined;
    if (met === false || met === undefined) return "the condition is false";
    throw new CodedError("EXPRESSION_FAILED", `the condition yields ${typeof met}, not true or false`, { condition });
  }

  #event(request: EmitRequest, id: string, caller: Caller, meta: MessageMeta): UnstoredEvent {
    return eventOf(request.event, request.data ?? null, id, `${caller.kind}/${caller.id}`, meta);
  }

  async #schedule(scheduled: Scheduled, at: Date, idempotent: boolean): Promise<EmitResult> {
    const { id } = scheduled.event;
    if (this.#schedules === undefined) throw new CodedError("SHUTTING_DOWN", "schedules are not available yet");
    const fired = idempotent ? this.#options.index.findById(id) : undefined;
    if (fired !== undefined) return { status: "duplicate", id, seq: fired };
    if (!this.#options.commands.has(scheduled.event.type)) this.#options.log.assertStorable(scheduled.event);
    const outcome = await this.#schedules.add(scheduled, at).catch(withId(id));
    return { status: outcome, id, at: at.toISOString() };
  }

  async #store(event: UnstoredEvent, idempotent: boolean): Promise<EmitResult> {
    const { id } = event;
    const known = idempotent ? this.#options.index.findById(id) : undefined;
    if (known !== undefined) return { status: "duplicate", id, seq: known };
    const stored = this.#options.log.append({ event, deduplicate: idempotent });
    const { seq, duplicate } = await (idempotent ? stored.catch(withId(id)) : stored);
    return { status: duplicate ? "duplicate" : "emitted", id, seq };
  }
}

function eventOf(type: string, data: unknown, id: string, source: string, meta: MessageMeta): UnstoredEvent {
  return { ...meta, id, type, time: new Date().toISOString(), source: `reprise/${source}`, data };
}

/** The id of the request itself was checked where it came in, or is the daemon's own. @throws CodedError REQUEST_INVALID */
function assertMayGive(id: string | undefined, { kind }: Caller, meta: MessageMeta): void {
  if (id === undefined || id === meta.id || kind === "module" || idGrammar.test(id)) return;
  const message = isOwnId(id)
    ? "id: one that begins with a ULID and a slash, or holds a ~, is given by the daemon alone; put a word of yours before it"
    : "id: expected 1 to 128 characters of letters, digits and _-.:@/+=";
  throw new CodedError("REQUEST_INVALID", message, { id: id.slice(0, 128) });
}

/** @returns when a request is due; undefined = now */
function dueTime({ delay, at }: EmitRequest): Date | undefined {
  if (delay === undefined && at === undefined) return undefined;
  if (delay !== undefined && at !== undefined) throw new CodedError("EVENT_TIME_INVALID", "give delay or at, not both");
  const due = at === undefined ? Date.now() + (delay ?? 0) * 1000 : rfc3339.test(at) ? Date.parse(at) : Number.NaN;
  if (!Number.isFinite(due) || due > Date.now() + longestDelay * 1000 || (delay ?? 0) < 0) {
    throw new CodedError("EVENT_TIME_INVALID", "expected a delay in seconds from 0 up, or an RFC 3339 time, at most ten years ahead", {
      delay,
      at,
    });
  }
  return new Date(due);
}

const tooManyHops = (name: string, hops: number) =>
  new CodedError("EVENT_HOPS_EXCEEDED", `${name} would be hop ${hops} of its chain; the limit is ${maxHops}`, { event: name, hops });

/** Tells the client under which id to repeat an emit of unknown outcome. An id that we made is none: the server would not recognise it. */
const withId = (id: string) => (error: unknown) => {
  if (!(error instanceof CodedError)) throw error;
  // A new one: events that were published together fail with one and the same error.
  throw new CodedError(error.code, error.message, { ...error.details, id }, { cause: error });
};
