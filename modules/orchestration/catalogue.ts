/**
 * All runs that the event log tells of, as a SQLite projection: which are open and who owns them, what the latest were, what the
 * runs below a run have spent.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Database, EventRecord, LogPosition, ModuleContext, Projection } from "../../daemon/module.ts";
import type { Spend } from "./account.ts";
import { recordOf, type StartedEntry } from "./record.ts";
import type { Direction, RunRecord, RunState } from "./schema.ts";

export interface RunFilter {
  readonly state?: RunState | undefined;
  readonly pattern?: string | undefined;
  readonly agent_id?: string | undefined;
  readonly parent_run?: string | undefined;
  readonly limit: number;
}

/** Another layout is another name, so that the runs are read from the log anew. */
const schema = `
  CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
  DROP TABLE IF EXISTS runs;
  CREATE TABLE IF NOT EXISTS runs_2 (
    run_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, state TEXT NOT NULL, pattern TEXT NOT NULL, agent_id TEXT, parent_run TEXT, owner TEXT NOT NULL,
    tokens REAL NOT NULL DEFAULT 0, cost REAL NOT NULL DEFAULT 0, record TEXT NOT NULL,
    ended_at TEXT, wanted TEXT, contents TEXT
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS open_runs_2 ON runs_2 (owner) WHERE state IN ('running', 'paused');
  CREATE INDEX IF NOT EXISTS ended_runs_2 ON runs_2 (ended_at, run_id) WHERE ended_at IS NOT NULL;
  CREATE INDEX IF NOT EXISTS by_pattern_2 ON runs_2 (pattern);
  CREATE INDEX IF NOT EXISTS by_agent_2 ON runs_2 (agent_id) WHERE agent_id IS NOT NULL;
  CREATE INDEX IF NOT EXISTS by_parent_2 ON runs_2 (parent_run) WHERE parent_run IS NOT NULL;
`;

/** What ended runs below a run have spent; what is below an open one counts there. */
const spentBelow = `
  WITH RECURSIVE below (run_id) AS (
    SELECT run_id FROM runs_2 WHERE parent_run = ?1 AND state NOT IN ('running', 'paused')
    UNION ALL
    SELECT child.run_id FROM runs_2 AS child JOIN below ON child.parent_run = below.run_id WHERE child.state NOT IN ('running', 'paused')
  )
  SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(cost), 0) AS cost FROM below JOIN runs_2 USING (run_id)
`;

const types = ["started", "paused", "resumed", "completed", "failed", "cancelled", "deleted", "directed"].map(
  (action) => `orchestration:${action}`,
);

/**
 * Ended runs that are one too many or too old, the oldest first. One that another run started stays as long as that one does: what
 * it has spent counts there.
 */
const overdue = `
  SELECT run_id FROM runs_2 AS run WHERE ended_at IS NOT NULL AND ended_at < ?1
  AND (ended_at < ?2 OR (ended_at, run_id) <= (SELECT ended_at, run_id FROM runs_2 WHERE ended_at IS NOT NULL ORDER BY 1 DESC, 2 DESC LIMIT 1 OFFSET ?3))
  AND NOT EXISTS (SELECT 1 FROM runs_2 AS parent WHERE parent.run_id = run.parent_run)
  ORDER BY ended_at, run_id LIMIT ?4
`;

const gatherMilliseconds = 20;

export class RunCatalogue implements AsyncDisposable {
  /** Of the data folder, the same after a restart. */
  readonly identity: string;
  readonly #context: ModuleContext;
  readonly #database: Database;
  readonly #insert;
  readonly #update;
  readonly #delete;
  readonly #want;
  /** Called for each run whose direction the log has just told. */
  onDirected: (run: string) => void = () => {};
  readonly #note;
  readonly #keep;
  #projection: Projection | undefined;

  constructor(context: ModuleContext) {
    this.#context = context;
    this.#database = context.openDatabase();
    this.#database.exec(schema);
    this.#note = this.#database.prepare("SELECT value FROM notes WHERE key = ?");
    this.#keep = this.#database.prepare("INSERT OR REPLACE INTO notes VALUES (?, ?)");
    this.#keep.run("identity", this.#read("identity") ?? context.newId());
    this.identity = this.#read("identity") as string;
    this.#insert = this.#database.prepare(
      "INSERT OR IGNORE INTO runs_2 (run_id, seq, state, pattern, agent_id, parent_run, owner, record) VALUES (?, ?, 'running', ?, ?, ?, ?, ?)",
    );
    this.#update = this.#database.prepare(
      "UPDATE runs_2 SET state = ?2, tokens = ?3, cost = ?4, record = json_patch(record, ?5), ended_at = ?6, wanted = nullif(wanted, ?7) WHERE run_id = ?1 AND state IN ('running', 'paused')",
    );
    // A cancellation is final; what a run does anyhow is not wanted any more.
    this.#want = this.#database.prepare(`
      UPDATE runs_2 SET wanted = CASE WHEN wanted = 'cancel' THEN 'cancel' WHEN ?2 = iif(state = 'paused', 'pause', 'resume') THEN NULL ELSE ?2 END
      WHERE run_id = ?1 AND state IN ('running', 'paused')`);
    this.#delete = this.#database.prepare("DELETE FROM runs_2 WHERE run_id = ?");
  }

  async start(): Promise<void> {
    const position = this.#read("position_2");
    this.#projection = await this.#context.project({
      types,
      ...(position !== undefined && { after: JSON.parse(position) as LogPosition }),
      // Not at once, so as not to be in the way of the run that is told of; and together with what comes meanwhile.
      handle: async (events, reached) => {
        await pause(gatherMilliseconds);
        this.#fold(events, reached);
      },
    });
  }

  /** Resolves once it knows all that the log held when the daemon started. */
  get caughtUp(): Promise<void> {
    return (this.#projection as Projection).caughtUp;
  }

  /** The latest first. */
  async list({ state, pattern, agent_id, parent_run, limit }: RunFilter, signal: AbortSignal): Promise<RunRecord[]> {
    await this.current(signal);
    const wanted = Object.entries({ state, pattern, agent_id, parent_run }).filter(([, value]) => value !== undefined);
    const conditions = wanted.map(([column]) => `AND ${column} = ?`).join(" ");
    const values = wanted.map(([, value]) => value as string);
    return this.#records(`SELECT record FROM runs_2 WHERE true ${conditions} ORDER BY run_id DESC LIMIT ?`, [...values, limit]);
  }

  /** Those that are to be played, or to be directed, the oldest first. */
  runningOf(owner: string): RunRecord[] {
    return this.#records(
      "SELECT record FROM runs_2 WHERE owner = ? AND (state = 'running' OR state = 'paused' AND wanted IS NOT NULL) ORDER BY run_id",
      [owner],
    );
  }

  /** What somebody has directed a run to do, and it has not done yet. */
  wantedOf(run: string): Direction | undefined {
    return (this.#database.prepare("SELECT wanted FROM runs_2 WHERE run_id = ?").get(run)?.wanted ?? undefined) as Direction | undefined;
  }

  /** Position in the log at which a run began; undefined when the log does not tell of it. */
  sinceOf(run: string): number | undefined {
    return this.#database.prepare("SELECT seq FROM runs_2 WHERE run_id = ?").get(run)?.seq as number | undefined;
  }

  /** Resolves once it knows all that the log holds now, whoever wrote it. */
  async current(signal: AbortSignal): Promise<void> {
    await this.#projection?.current(signal);
  }

  /**
   * Ended runs that may be deleted, the oldest first.
   * @param keep so many that ended last are kept
   * @param since RFC 3339: those that ended before are deleted, however few they are
   * @param until RFC 3339: those that ended later are kept, however many they are
   */
  overdue({ keep, since, until, limit }: { keep: number; since: string; until: string; limit: number }): string[] {
    const rows = this.#database.prepare(overdue).all(until, since, keep, limit);
    return rows.map(({ run_id }) => String(run_id));
  }

  /** Runs of which it is not known to which contents they refer for good: open ones, and ended ones that were not looked at. */
  withUnknownContents(): { run_id: string; isOpen: boolean }[] {
    const rows = this.#database.prepare("SELECT run_id, ended_at FROM runs_2 WHERE contents IS NULL ORDER BY run_id").all();
    return rows.map(({ run_id, ended_at }) => ({ run_id: String(run_id), isOpen: ended_at === null }));
  }

  /** To which contents an ended run refers. */
  keepContents(run: string, contents: Iterable<string>): void {
    this.#database
      .prepare("UPDATE runs_2 SET contents = ? WHERE run_id = ? AND ended_at IS NOT NULL")
      .run(JSON.stringify([...contents]), run);
  }

  /** What was kept, run by run. */
  *keptContents(): Generator<readonly string[]> {
    let run = "";
    for (;;) {
      const row = this.#database
        .prepare(
          "SELECT run_id, contents FROM runs_2 WHERE run_id > ? AND contents IS NOT NULL AND contents <> '[]' ORDER BY run_id LIMIT 1",
        )
        .get(run);
      if (row === undefined) return;
      run = String(row.run_id);
      yield JSON.parse(String(row.contents)) as string[];
    }
  }

  /** Undefined when the log does not tell of it. */
  recordOf(run: string): RunRecord | undefined {
    return this.#records("SELECT record FROM runs_2 WHERE run_id = ?", [run])[0];
  }

  ownersOfOpenRuns(): string[] {
    const rows = this.#database.prepare("SELECT DISTINCT owner FROM runs_2 WHERE state IN ('running', 'paused')").all();
    return rows.map(({ owner }) => String(owner));
  }

  /** How many runs a run has started, and what those that ended have spent with all below them. */
  below(run: string): { readonly children: number; readonly spent: Spend } {
    const count = this.#database.prepare("SELECT count(*) AS children FROM runs_2 WHERE parent_run = ?").get(run);
    const spent = this.#database.prepare(spentBelow).get(run);
    return { children: Number(count?.children), spent: { tokens: Number(spent?.tokens), cost: Number(spent?.cost) } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#projection?.[Symbol.asyncDispose]();
    this.#database[Symbol.dispose]();
  }

  #read(key: string): string | undefined {
    return this.#note.get(key)?.value as string | undefined;
  }

  #records(sql: string, values: (string | number)[]): RunRecord[] {
    return this.#database
      .prepare(sql)
      .all(...values)
      .map(({ record }) => JSON.parse(String(record)) as RunRecord);
  }

  /** The place in the log stands beside what was learnt up to it. */
  #fold(events: readonly EventRecord[], position: LogPosition): void {
    const before = this.#read("position_2");
    this.#database.transaction(() => {
      if (before !== undefined && (JSON.parse(before) as LogPosition).log !== position.log) this.#database.exec("DELETE FROM runs_2");
      for (const event of events) this.#apply(event);
      this.#keep.run("position_2", JSON.stringify(position));
    });
  }

  #apply({ type, seq, time, data }: EventRecord): void {
    const action = type.slice(type.indexOf(":") + 1);
    if (action === "started") {
      const record = recordOf({ ...(data as StartedEntry), at: time });
      const { run_id, pattern, agent_id = null, parent_run = null, owner } = record;
      this.#insert.run(run_id, seq, pattern, agent_id, parent_run, owner, JSON.stringify(record));
      return;
    }
    if (action === "deleted") {
      for (const run_id of (data as { run_ids: string[] }).run_ids) this.#delete.run(run_id);
      return;
    }
    if (action === "directed") {
      const { run_id, to } = data as { run_id: string; to: Direction };
      if (Number((this.#want.run(run_id, to) as { changes: number | bigint }).changes) > 0) this.onDirected(run_id);
      return;
    }
    const { run_id, usage } = data as { run_id: string; usage?: Spend };
    const isOpen = action === "paused" || action === "resumed";
    const state = action === "resumed" ? "running" : action;
    const patch = { state, ...(!isOpen && { ended_at: time }) };
    const done = action.slice(0, -1); // paused: what it was to do is pause
    this.#update.run(run_id, state, usage?.tokens ?? 0, usage?.cost ?? 0, JSON.stringify(patch), isOpen ? null : time, done);
  }
}
