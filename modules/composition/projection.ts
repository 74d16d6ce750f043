/**
 * Decisions on their way from the event log into git, in group commits.
 *
 * The place in the log stands in the commit itself, so a decision and the fact that it is recorded are one write: after any
 * crash the projection goes on behind the newest such commit, and each decision is in git exactly once.
 */
import { setTimeout as delay } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import { derivedId } from "../../daemon/events/message-ids.ts";
import type { EventRecord, LogPosition, ModuleContext, Projection } from "../../daemon/module.ts";
import { type DecisionCommit, readMessage, renderMessage } from "./commit-message.ts";
import { isPending, resolution, type TrackedDecision, trackedBy } from "./entries.ts";
import type { DecisionSegments } from "./segments.ts";

export const trackedEvent = "composition:decision_tracked";
export const resolvedEvent = "composition:decision_resolved";
export const recordedEvent = "composition:decision_recorded";

/** What a wait for the outcome of a decision is for; that for the decision itself is for its id. */
export const outcomeKey = (id: string): string => `outcome of ${id}`;

/** Decisions that come within this time of a commit's begin share the next one; a backlog does not wait. */
const groupingMilliseconds = 100;
const decisionsPerCommit = 500;
/** Decisions are small (32 KB at most, a few hundred bytes as a rule): enough of them for two commits may wait in memory. */
const prefetch = 1_000;
/** New decisions wait while git is this far behind the oldest, but not longer than the patience. Milliseconds. */
const pace = { behind: 200, patience: 500, interval: 10 };

export class DecisionProjection implements AsyncDisposable {
  readonly #context: ModuleContext;
  readonly #segments: DecisionSegments;
  /** Who waits for the commit of a decision, by its id. */
  readonly #waiters = new Map<string, Set<(commit: string) => void>>();
  /** Decisions that this process has put into the log, and that are not in git yet: their places, and since when, as of `performance.now()`. */
  readonly #underWay = new Map<number, number>();
  /** The last commit in turn. */
  #turn: Promise<unknown> = Promise.resolve();
  #projection: Projection | undefined;
  #position: LogPosition | undefined;
  /** The newest commit, until the log has taken its event. */
  #unannounced: DecisionCommit | undefined;
  /** Ids in git by pattern, while events may come that git already has; undefined once the log is caught up with. */
  #known: Map<string, Set<string>> | undefined = new Map();
  #problem: CodedError | undefined;

  constructor(context: ModuleContext, segments: DecisionSegments) {
    this.#context = context;
    this.#segments = segments;
  }

  /** Why decisions do not reach git at present; they are safe in the event log. */
  get problem(): CodedError | undefined {
    return this.#problem;
  }

  async start(): Promise<void> {
    const newest = await this.#findNewest();
    if (newest) await this.#resumeAfter(newest);
    this.#projection = await this.#context.project({
      types: [trackedEvent, resolvedEvent],
      ...(this.#position && { after: this.#position }),
      prefetch,
      handle: (events, position) => this.#handle(events, position),
    });
    this.#projection.caughtUp.then(
      () => {
        this.#known = undefined;
      },
      () => undefined,
    );
  }

  /** Resolves once git has what the log held up to `seq`. */
  async reached(seq: number, signal: AbortSignal): Promise<void> {
    if (seq > 0) await this.#projection?.reached(seq, signal);
  }

  /**
   * Adds to git what it lacks of the log.
   * @param log identity of the log that they are from
   * @returns the commits
   */
  async repair(decisions: readonly TrackedDecision[], log: string | undefined): Promise<string[]> {
    const commits: string[] = [];
    for (let first = 0; first < decisions.length; first += decisionsPerCommit) {
      // The place that the newest commit reaches stays what it is: these are from before it.
      const position = this.#position ?? { log: log ?? "unknown", seq: 0 };
      const recorded = await this.#inTurn(() => this.#commit(decisions.slice(first, first + decisionsPerCommit), position));
      await this.#tell(recorded);
      commits.push(recorded.info.commit);
    }
    return commits;
  }

  /** Tells of a decision that the log has just taken, at this place. */
  expect(seq: number): void {
    if (this.#position && seq <= this.#position.seq) return; // git was faster than the acknowledgement
    this.#underWay.set(seq, performance.now());
  }

  /** Holds a new decision back while git is behind, so that the lag stays bounded whatever the disk does. */
  async keepPace(signal: AbortSignal): Promise<void> {
    const limit = performance.now() + pace.patience;
    while (this.#isBehind() && performance.now() < limit) await delay(pace.interval, undefined, { signal });
  }

  /** While git takes nothing at all, decisions are safe in the log and nobody waits. */
  #isBehind(): boolean {
    const [oldest] = this.#underWay.values();
    return oldest !== undefined && this.#problem === undefined && performance.now() - oldest > pace.behind;
  }

  /** Waits for the commit with this key; begin before the decision or the outcome is emitted, and dispose of it. */
  waitFor(id: string, signal: AbortSignal): Disposable & { readonly commit: Promise<string> } {
    const { promise: commit, resolve, reject } = Promise.withResolvers<string>();
    commit.catch(() => undefined); // the emit may fail first, and then nobody looks at it
    const abort = () => reject(signal.reason);
    const waiters = this.#waiters.get(id) ?? new Set();
    this.#waiters.set(id, waiters.add(resolve));
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    const stop = () => {
      signal.removeEventListener("abort", abort);
      waiters.delete(resolve);
      if (waiters.size === 0) this.#waiters.delete(id);
    };
    return { commit, [Symbol.dispose]: stop };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
  }

  async #handle(events: readonly EventRecord[], position: LogPosition): Promise<void> {
    for (const group of groupsOf(events)) await this.#record(group, { log: position.log, seq: group.at(-1)?.seq ?? position.seq });
  }

  async #record(events: readonly EventRecord[], position: LogPosition): Promise<void> {
    const began = performance.now();
    try {
      await this.#announce(); // of an earlier attempt
      const decisions = await this.#select(events, position);
      if (decisions.length > 0) {
        this.#adopt(await this.#inTurn(() => this.#commit(decisions, position)));
        await this.#announce();
      }
      for (const seq of this.#underWay.keys()) if (seq <= position.seq) this.#underWay.delete(seq);
      if (this.#problem) this.#context.log.info("decisions reach git again");
      this.#problem = undefined;
    } catch (error) {
      await this.#report(error, position);
      throw error;
    }
    const rest = groupingMilliseconds - (performance.now() - began);
    const newest = Date.parse(events.at(-1)?.time ?? "");
    const isBacklog = Date.now() - newest > groupingMilliseconds;
    if (rest > 0 && !isBacklog) await delay(rest, undefined, { signal: this.#context.signal }).catch(() => undefined);
  }

  /** What of the events git does not have yet. */
  async #select(events: readonly EventRecord[], { log }: LogPosition): Promise<TrackedDecision[]> {
    const selected: TrackedDecision[] = [];
    for (const event of events) {
      if (this.#position?.log === log && event.seq <= this.#position.seq) continue;
      if (event.type === resolvedEvent) {
        const { pattern, version } = event.data as { pattern: string; version: string };
        const entry = { decision: undefined, ...resolution.parse(event.data) };
        const known = await this.#segments.find(pattern, entry.id);
        if (known && isPending(known)) selected.push({ pattern, version, entry, resolves: true });
        continue;
      }
      const tracked = trackedBy(event);
      const { id } = tracked.entry;
      const known = await this.#knownIds(tracked.pattern);
      if (known?.has(id)) continue;
      known?.add(id);
      selected.push(tracked);
    }
    return selected;
  }

  async #knownIds(pattern: string): Promise<Set<string> | undefined> {
    const known = this.#known?.get(pattern) ?? (this.#known && (await this.#segments.ids(pattern)));
    if (known) this.#known?.set(pattern, known);
    return known;
  }

  async #commit(decisions: readonly TrackedDecision[], position: LogPosition): Promise<DecisionCommit> {
    const files: Record<string, string> = {};
    const expected: Record<string, string | null> = {};
    for (const [pattern, group] of Map.groupBy(decisions, (decision) => decision.pattern)) {
      const [outcomes, added] = partition(group, ({ resolves }) => resolves === true);
      const change = await this.#segments.change(
        pattern,
        added.map(({ entry }) => entry),
        new Map(outcomes.map(({ entry }) => [entry.id, entry.outcome])),
      );
      Object.assign(files, change.files);
      Object.assign(expected, change.expected);
    }
    const info = await this.#context.repository.commit({ message: renderMessage(decisions, position), files, expected });
    const recorded = decisions.map(({ pattern, entry, resolves }) => ({ id: entry.id, pattern, ...(resolves && { resolved: resolves }) }));
    return { info, position, decisions: recorded };
  }

  /** These decisions are in git: whoever waits is answered, and the log is told before the next commit. */
  #adopt(newest: DecisionCommit): void {
    this.#position = newest.position;
    this.#unannounced = newest;
    for (const { id, resolved } of newest.decisions) {
      for (const give of this.#waiters.get(resolved ? outcomeKey(id) : id) ?? []) give(newest.info.commit);
    }
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #announce(): Promise<void> {
    if (this.#unannounced) await this.#tell(this.#unannounced);
    this.#unannounced = undefined;
  }

  /** The id makes a repetition harmless. @returns the event's place in the log, which is behind all that the commit records */
  async #tell({ info, decisions }: DecisionCommit): Promise<number> {
    const data = { commit: info.commit, author: info.author.name, decisions };
    return (await this.#context.emit(recordedEvent, data, undefined, { id: derivedId(info.commit, "recorded") })).seq;
  }

  /** A crash may have come between the commit and its event. */
  async #resumeAfter(newest: DecisionCommit): Promise<void> {
    const end = await this.#tell(newest);
    this.#position = newest.position;
    if (newest.position.seq < end) return;
    const about = { commit: newest.info.commit, position: newest.position };
    this.#context.log.warn(about, "a commit of decisions names a place that the event log has not reached; an older commit counts");
    this.#position = (await this.#findNewest(end))?.position;
  }

  /** What was written is unknown after a failure, so git is asked again. */
  async #report(error: unknown, position: LogPosition): Promise<void> {
    this.#known = new Map();
    const newest = await this.#findNewest(position.seq + 1).catch(() => undefined);
    if (newest) this.#adopt(newest);
    const problem = error instanceof CodedError ? error : new CodedError("INTERNAL", String(error), {}, { cause: error });
    if (problem.code === "COMPOSITION_STALE" || problem.message === this.#problem?.message) return;
    this.#problem = problem;
    this.#context.log.warn({ err: problem, details: problem.details }, "decisions wait before git; they are safe in the event log");
  }

  /**
   * The newest commit of ours that reaches less far than `end`. A message alone does not make it ours: it also changes the
   * decisions of the patterns that it names.
   */
  async #findNewest(end = Number.POSITIVE_INFINITY): Promise<DecisionCommit | undefined> {
    for await (const info of this.#context.repository.log()) {
      const found = readMessage(info);
      const [first] = found?.decisions ?? [];
      if (found && first && found.position.seq < end && (await this.#segments.isChangedBy(info.commit, first.pattern))) return found;
    }
    return undefined;
  }
}

/** Groups for one commit each: a decision and its outcome are recorded one after the other. */
function* groupsOf(events: readonly EventRecord[]): Generator<EventRecord[]> {
  let group: EventRecord[] = [];
  let ids = new Set<string>();
  for (const event of events) {
    const { id } = event.data as { id: string };
    if (group.length === decisionsPerCommit || ids.has(id)) {
      yield group;
      [group, ids] = [[], new Set()];
    }
    group.push(event);
    ids.add(id);
  }
  if (group.length > 0) yield group;
}

function partition<Item>(items: readonly Item[], isFirst: (item: Item) => boolean): [first: Item[], others: Item[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))];
}
