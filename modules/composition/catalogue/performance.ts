/** How patterns did, from the events that end their runs: a projection of the log, never read from a text. */
import { z } from "zod";
import type { Database, EventRecord, LogPosition, ModuleContext, Projection } from "../../../daemon/module.ts";
import { differenceInterval, emptyTally, type Tally, wilson, withScore } from "./statistics.ts";
import { progressOf, setProgress } from "./tables.ts";

const completedEvent = "orchestration:completed";
const failedEvent = "orchestration:failed";

const interval = z.tuple([z.number(), z.number()]).describe("95 %");
export const performanceFields = z.object({
  runs: z.number(),
  mean_score: z.number().describe("of each run: its result's `score` if that is a number, else 1 for success and 0"),
  success_rate: z.number(),
  success_interval: interval,
  improvement: z
    .object({ over: z.string(), difference: z.number().describe("of the mean scores"), interval: interval.optional() })
    .optional()
    .describe("over the pattern that it was forked from; without an interval where the scores do not tell one"),
});
export type Performance = z.output<typeof performanceFields>;

const ended = z.object({ pattern: z.string(), result: z.unknown().optional() });
const scored = z.looseObject({ score: z.number() });

export class PerformanceRecord implements AsyncDisposable {
  readonly #context: ModuleContext;
  readonly #database: Database;
  readonly #tallies = new Map<string, Tally>();
  #projection: Projection | undefined;

  constructor(context: ModuleContext, database: Database) {
    this.#context = context;
    this.#database = database;
    for (const row of database.prepare("SELECT * FROM runs").all()) {
      this.#tallies.set(String(row.pattern), {
        count: Number(row.runs),
        successes: Number(row.successes),
        mean: Number(row.mean),
        squares: Number(row.squares),
        binary: row.binary === 1,
      });
    }
  }

  async start(): Promise<void> {
    const position = progressOf(this.#database, "runs");
    this.#projection = await this.#context.project({
      types: [completedEvent, failedEvent],
      ...(position && { after: JSON.parse(position) as LogPosition }),
      handle: (events, reached) => this.#fold(events, reached),
    });
  }

  /** Undefined if no run of it has ended. @param parent the pattern to compare it with */
  of(pattern: string, parent?: string): Performance | undefined {
    const tally = this.#tallies.get(pattern);
    if (!tally) return undefined;
    const before = parent === undefined ? undefined : this.#tallies.get(parent);
    const known = before && differenceInterval(tally, before);
    return {
      runs: tally.count,
      mean_score: tally.mean,
      success_rate: tally.successes / tally.count,
      success_interval: wilson(tally.successes, tally.count),
      ...(before && parent && { improvement: { over: parent, difference: tally.mean - before.mean, ...(known && { interval: known }) } }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
  }

  /** The place in the log stands beside what was counted up to it, so each run counts once. */
  #fold(events: readonly EventRecord[], position: LogPosition): void {
    const changed = new Map<string, Tally>();
    const known = progressOf(this.#database, "runs");
    const isOtherLog = known !== undefined && (JSON.parse(known) as LogPosition).log !== position.log;
    for (const { type, data } of events) {
      const run = ended.safeParse(data).data;
      if (!run) continue;
      const success = type === completedEvent;
      const score = scored.safeParse(run.result).data?.score ?? Number(success);
      const before = changed.get(run.pattern) ?? (isOtherLog ? undefined : this.#tallies.get(run.pattern)) ?? emptyTally;
      changed.set(run.pattern, withScore(before, score, success));
    }
    this.#database.transaction(() => {
      if (isOtherLog) this.#database.exec("DELETE FROM runs");
      const write = this.#database.prepare("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)");
      for (const [pattern, { count, successes, mean, squares, binary }] of changed)
        write.run(pattern, count, successes, mean, squares, Number(binary));
      setProgress(this.#database, "runs", JSON.stringify(position));
    });
    if (isOtherLog) this.#tallies.clear();
    for (const [pattern, tally] of changed) this.#tallies.set(pattern, tally);
  }
}
