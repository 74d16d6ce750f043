/**
 * Decisions on their way from the event log into git, in group commits.
 *
 * The place in the log stands in the commit itself, so a decision and the fact that it is recorded are one write: after any
 * crash the projection goes on behind the newest such commit, and each decision is in git exactly once.
 */
import { setTimeout as delay } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import type { CommitInfo, EventRecord, LogPosition, ModuleContext, Projection } from "../../daemon/module.ts";
import { readPosition, readRecorded, renderMessage, type TrackedDecision } from "./commit-message.ts";
import { decisionEntry } from "./entries.ts";
import type { DecisionSegments } from "./segments.ts";

export const trackedEvent = "composition:decision_tracked";
export const recordedEvent = "composition:decision_recorded";

/** Decisions that come within this time of a commit's begin share the next one; a backlog does not wait. */
const groupingMilliseconds = 100;
const decisionsPerCommit = 250;

export class DecisionProjection implements AsyncDisposable {
  readonly #context: ModuleContext;
  readonly #segments: DecisionSegments;
  readonly #waiters = new Map<string, (commit: string) => void>();
  #projection: Projection | undefined;
  #position: LogPosition | undefined;
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
    this.#position = newest && readPosition(newest);
    this.#projection = await this.#context.project({
      types: [trackedEvent],
      ...(this.#position && { after: this.#position }),
      handle: (events, position) => this.#handle(events, position),
    });
    this.#projection.caughtUp.then(
      () => {
        this.#known = undefined;
      },
      () => undefined,
    );
    // A crash may have come between the commit and its event; the id makes the repetition harmless.
    if (newest) await this.#announce(newest);
  }

  /** Resolves with the commit that records the decision; call it before the decision is emitted. */
  recorded(id: string, signal: AbortSignal): Promise<string> {
    return new Promise((resolve, reject) => {
      const give = (commit: string) => {
        this.#waiters.delete(id);
        resolve(commit);
      };
      this.#waiters.set(id, give);
      signal.addEventListener(
        "abort",
        () => {
          this.#waiters.delete(id);
          reject(signal.reason);
        },
        { once: true },
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
  }

  async #handle(events: readonly EventRecord[], position: LogPosition): Promise<void> {
    for (let first = 0; first < events.length; first += decisionsPerCommit) {
      const group = events.slice(first, first + decisionsPerCommit);
      await this.#record(group, { log: position.log, seq: group.at(-1)?.seq ?? position.seq });
    }
  }

  async #record(events: readonly EventRecord[], position: LogPosition): Promise<void> {
    const began = performance.now();
    try {
      const decisions = await this.#select(events, position);
      if (decisions.length > 0) {
        const info = await this.#commit(decisions, position);
        this.#position = position;
        for (const { entry } of decisions) this.#waiters.get(entry.id)?.(info.commit);
        await this.#announce(info);
      }
      if (this.#problem) this.#context.log.info("decisions reach git again");
      this.#problem = undefined;
    } catch (error) {
      await this.#report(error);
      throw error;
    }
    const rest = groupingMilliseconds - (performance.now() - began);
    if (rest > 0 && events.length < decisionsPerCommit)
      await delay(rest, undefined, { signal: this.#context.signal }).catch(() => undefined);
  }

  /** What of the events git does not have yet. */
  async #select(events: readonly EventRecord[], { log }: LogPosition): Promise<TrackedDecision[]> {
    const selected: TrackedDecision[] = [];
    for (const event of events) {
      if (this.#position?.log === log && event.seq <= this.#position.seq) continue;
      const { pattern, version, ...fields } = event.data as { pattern: string; version: string };
      const entry = decisionEntry.parse(fields);
      const known = await this.#knownIds(pattern);
      if (known?.has(entry.id)) continue;
      known?.add(entry.id);
      selected.push({ pattern, version, entry });
    }
    return selected;
  }

  async #knownIds(pattern: string): Promise<Set<string> | undefined> {
    const known = this.#known?.get(pattern) ?? (this.#known && (await this.#segments.ids(pattern)));
    if (known) this.#known?.set(pattern, known);
    return known;
  }

  async #commit(decisions: readonly TrackedDecision[], position: LogPosition): Promise<CommitInfo> {
    const files: Record<string, string> = {};
    const expected: Record<string, string | null> = {};
    for (const [pattern, group] of Map.groupBy(decisions, (decision) => decision.pattern)) {
      const change = await this.#segments.append(
        pattern,
        group.map(({ entry }) => entry),
      );
      Object.assign(files, change.files);
      Object.assign(expected, change.expected);
    }
    return this.#context.repository.commit({ message: renderMessage(decisions, position), files, expected });
  }

  async #announce(info: CommitInfo): Promise<void> {
    const decisions = readRecorded(info);
    if (decisions.length === 0) return;
    const data = { commit: info.commit, author: info.author.name, decisions };
    await this.#context.emit(recordedEvent, data, undefined, { id: `${recordedEvent}:${info.commit}` });
  }

  /** What was written is unknown after a failure, so git is asked again. */
  async #report(error: unknown): Promise<void> {
    this.#known = new Map();
    const newest = await this.#findNewest().catch(() => undefined);
    this.#position = (newest && readPosition(newest)) ?? this.#position;
    const problem = error instanceof CodedError ? error : new CodedError("INTERNAL", String(error), {}, { cause: error });
    if (problem.code === "COMPOSITION_STALE" || problem.message === this.#problem?.message) return;
    this.#problem = problem;
    this.#context.log.warn({ err: problem, details: problem.details }, "decisions wait before git; they are safe in the event log");
  }

  async #findNewest(): Promise<CommitInfo | undefined> {
    for await (const info of this.#context.repository.log()) {
      if (readPosition(info)) return info;
    }
    return undefined;
  }
}
