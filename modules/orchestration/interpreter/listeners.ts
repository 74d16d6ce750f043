/**
 * What a strand listens to while it plays: ON and WHEN take up events at the steps of their strand.
 *
 * 1. While a step is under way (an effect, a wait, a PARALLEL or RACE), and before the strand goes on after it, the bodies of
 *    the events that came are played, one after the other, in the order in which they came. So a body and the strand never
 *    touch the variables at the same time.
 * 2. Which event was taken up at which step stands in the journal, before any effect of its body: a replay takes it up there.
 */
import { setImmediate as yieldToOthers } from "node:timers/promises";
import { CodedError } from "../../../daemon/errors.ts";
import type { Statement } from "../language/ast.ts";
import type { Arrival } from "./effects.ts";
import type { Place } from "./place.ts";
import type { Thread } from "./steps.ts";

type On = Extract<Statement, { kind: "on" }>;
type PhaseStatement = Extract<Statement, { kind: "phase" }>;

/** What one block listens to. */
export interface Listeners {
  readonly inbox: Inbox;
  readonly events: Listener[];
  readonly phases: PhaseStatement[];
  /** Those of the block around it, in the same strand. */
  readonly around?: Listeners;
  /** Keys of the phases of this strand that have begun, that have ended, and that are under way. */
  readonly begun: Set<string>;
  readonly ended: Set<string>;
  readonly open: Set<string>;
}

interface Listener {
  /** The same in a replay. */
  readonly id: string;
  readonly statement: On;
  /** The thread for the body of arrival number n, from 1. */
  readonly threadOf: (number: number) => Thread;
  readonly stop: AbortController;
}

/** An event for a listener; `number` counts its arrivals from 1. */
interface Item {
  readonly listener: Listener;
  readonly number: number;
  readonly arrival: Arrival;
}

/** What came for a strand and was not taken up yet. */
class Inbox {
  #items: Item[] = [];
  #failure: { readonly error: unknown } | undefined;
  #more = Promise.withResolvers<void>();

  get more(): Promise<void> {
    return this.#more.promise;
  }

  put(item: Item): void {
    this.#items.push(item);
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#wake();
  }

  take(wanted: (item: Item) => boolean = () => true): Item | undefined {
    if (this.#failure !== undefined) throw this.#failure.error;
    const index = this.#items.findIndex(wanted);
    return index < 0 ? undefined : this.#items.splice(index, 1)[0];
  }

  /** Waits for what a replay knows to come. */
  async expect(id: string, number: number): Promise<Item> {
    for (;;) {
      const found = this.take((item) => item.listener.id === id && item.number === number);
      if (found !== undefined) return found;
      await this.more;
    }
  }

  drop(listeners: readonly Listener[]): void {
    this.#items = this.#items.filter(({ listener }) => !listeners.includes(listener));
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}

/** @param around those of the block around it; a strand of its own has none */
export function openListeners(around?: Listeners): Listeners {
  const strand = around ?? { inbox: new Inbox(), begun: new Set<string>(), ended: new Set<string>(), open: new Set<string>() };
  const { inbox, begun, ended, open } = strand;
  return { inbox, begun, ended, open, events: [], phases: [], ...(around && { around }) };
}

/** At the end of its block nobody listens any more. */
export function closeListeners({ inbox, events }: Listeners): void {
  for (const { stop } of events) stop.abort(new Error("the block that listened has ended"));
  inbox.drop(events);
}

const isListening = (listeners: Listeners | undefined): boolean =>
  listeners !== undefined && (listeners.events.length > 0 || isListening(listeners.around));

/** From now on, the events that the run has seen since its start and that this statement did not get yet. */
export function listen(statement: On, at: Place): void {
  const { thread, listeners } = at.strand;
  const fork = at.run.steps.fork(thread);
  const stop = new AbortController();
  const id = `${thread.prefix}${thread.count}`;
  const listener: Listener = { id, statement, threadOf: (number) => fork(number), stop };
  listeners.events.push(listener);
  receive(listener, fork(0, AbortSignal.any([thread.signal, stop.signal])), at).catch((error: unknown) => {
    if (!stop.signal.aborted) listeners.inbox.fail(error);
  });
}

async function receive(listener: Listener, thread: Thread, at: Place): Promise<void> {
  const { statement } = listener;
  const { effects } = at.run.options;
  const except = new Set(at.received(statement));
  let live: AsyncIterator<Arrival> | undefined;
  const next = async (): Promise<Arrival> => {
    live ??= effects.follow({ of: "events", event: statement.event, except: [...except] }, thread.signal)[Symbol.asyncIterator]();
    const { value, done }: IteratorResult<Arrival> = await live.next();
    if (done === true) throw new CodedError("INTERNAL", "The events ended before the run.");
    return value;
  };
  try {
    for (let number = 1; ; number++) {
      const arrival = (await at.run.steps.value(thread, at.line, next)) as Arrival;
      except.add(arrival.seq);
      at.strand.listeners.inbox.put({ listener, number, arrival });
    }
  } finally {
    await live?.return?.();
  }
}

/** A body of a listener came upon RETURN: the pattern that it stands in ends with this result. */
export class Returned extends Error {
  readonly result: unknown;

  constructor(result: unknown) {
    super("the pattern returned");
    this.result = result;
  }
}

/**
 * Does work that takes one number of the strand's thread, and plays meanwhile what the strand listens to.
 * @param kind a `step` has a result in the journal by which a replay knows that it is over; a `block` has not
 * @throws Returned; what a body threw, when the work is stopped
 */
export async function during<Result>(at: Place, kind: "step" | "block", work: (thread: Thread) => Promise<Result>): Promise<Result> {
  const { thread, listeners } = at.strand;
  if (!isListening(listeners)) return work(thread);
  const { journal } = at.run.options;
  const number = thread.count + 1;
  const point = `${thread.prefix}${number}`;
  let turn = 0;

  async function takeUp(item: Item): Promise<void> {
    turn++;
    try {
      await playBody(item, at);
    } catch (error) {
      thread.count = number;
      throw error;
    }
  }

  for (;;) {
    const noted = journal.resultOf(`${point}!${turn + 1}`)?.value as { listener: string; number: number } | undefined;
    if (noted === undefined) break;
    await takeUp(await listeners.inbox.expect(noted.listener, noted.number));
  }
  if (journal.resultOf(kind === "step" ? point : `${point}!end`) !== undefined) return work(thread);

  const stop = new AbortController();
  const guarded = { ...thread, signal: AbortSignal.any([thread.signal, stop.signal]) };
  let isDone = false;
  const outcome = work(guarded).finally(() => {
    isDone = true;
  });
  const settled = outcome.then(
    () => {},
    () => {},
  );
  try {
    for (let isDrained = false; ; ) {
      const item = listeners.inbox.take();
      if (item !== undefined) {
        journal.result({
          step: `${point}!${turn + 1}`,
          line: at.line,
          value: { listener: item.listener.id, number: item.number },
          milliseconds: 0,
        });
        await takeUp(item);
      } else if (isDrained) {
        break;
      } else if (isDone) {
        // What was in the log before the work ended is here after this turn.
        await yieldToOthers();
        isDrained = true;
      } else {
        await Promise.race([settled, listeners.inbox.more]);
      }
    }
  } catch (error) {
    stop.abort(error);
    await settled;
    throw error;
  }
  thread.count = number;
  // Work that was cut short, by a pause or a stop of the daemon, has not ended: a replay goes on listening in it.
  const hasEnded = await outcome.then(
    () => true,
    (error: unknown) => error instanceof CodedError && !thread.signal.aborted,
  );
  if (kind === "block" && hasEnded) journal.result({ step: `${point}!end`, line: at.line, milliseconds: 0 });
  return outcome;
}

async function playBody({ listener, number, arrival }: Item, at: Place): Promise<void> {
  const { strand, run } = at;
  at.received(listener.statement).add(arrival.seq);
  const { seq: _, ...event } = arrival;
  const restore = strand.scope.shadow("event", event);
  try {
    const thread = listener.threadOf(number);
    const completion = await run.play(listener.statement.body, { ...strand, thread, listeners: openListeners() });
    if (completion !== undefined) throw new Returned(completion.result);
  } finally {
    restore();
  }
}
