/**
 * All runs that the event log tells of, as a SQLite projection: which are open and who owns them, what the latest were, what the
 * runs below a run have spent.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Database, EventRecord, LogPosition, ModuleContext, Projection } from "../../daemon/module.ts";
import type { Spend } from "./account.ts";
import { recordOf, type StartedEntry } from "./record.ts";
import type { RunRecord, RunState } from "./schema.ts";

export interface RunFilter {
  readonly state?: RunState | undefined;
  readonly pattern?: string | undefined;
  readonly agent_id?: string | undefined;
  readonly parent_run?: string | undefined;
  readonly limit: number;
}

const schema = `
  CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS runs (
    run_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, state TEXT NOT NULL, pattern TEXT NOT NULL, agent_id TEXT, parent_run TEXT, owner TEXT NOT NULL,
    tokens REAL NOT NULL DEFAULT 0, cost REAL NOT NULL DEFAULT 0, record TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS open_runs ON runs (owner) WHERE state IN ('running', 'paused');
  CREATE INDEX IF NOT EXISTS by_pattern ON runs (pattern);
  CREATE INDEX IF NOT EXISTS by_agent ON runs (agent_id) WHERE agent_id IS NOT NULL;
  CREATE INDEX IF NOT EXISTS by_parent ON runs (parent_run) WHERE parent_run IS NOT NULL;
`;

/** What ended runs below a run have spent; what is below an open one counts there. */
const spentBelow = `
  WITH RECURSIVE below (run_id) AS (
    SELECT run_id FROM runs WHERE parent_run = ?1 AND state NOT IN ('running', 'paused')
    UNION ALL
    SELECT runs.run_id FROM runs JOIN below ON runs.parent_run = below.run_id WHERE runs.state NOT IN ('running', 'paused')
  )
  SELECT coalesce(sum(tokens), 0) AS tokens, coalesce(sum(cost), 0) AS cost FROM below JOIN runs USING (run_id)
`;

const types = ["started", "paused", "resumed", "completed", "failed", "cancelled"].map((action) => `orchestration:${action}`);

const gatherMilliseconds = 20;

export class RunCatalogue implements AsyncDisposable {
  /** Of the data folder, the same after a restart. */
  readonly identity: string;
  readonly #context: ModuleContext;
  readonly #database: Database;
  readonly #insert;
  readonly #update;
  readonly #note;
  readonly #keep;
  #projection: Projection | undefined;
  /** Sequence of the latest event that this daemon emitted about a run. */
  #latest = 0;

  constructor(context: ModuleContext) {
    this.#context = context;
    this.#database = context.openDatabase();
    this.#database.exec(schema);
    this.#note = this.#database.prepare("SELECT value FROM notes WHERE key = ?");
    this.#keep = this.#database.prepare("INSERT OR REPLACE INTO notes VALUES (?, ?)");
    this.#keep.run("identity", this.#read("identity") ?? context.newId());
    this.identity = this.#read("identity") as string;
    this.#insert = this.#database.prepare(
      "INSERT OR IGNORE INTO runs (run_id, seq, state, pattern, agent_id, parent_run, owner, record) VALUES (?, ?, 'running', ?, ?, ?, ?, ?)",
    );
    this.#update = this.#database.prepare(
      "UPDATE runs SET state = ?2, tokens = ?3, cost = ?4, record = json_patch(record, ?5) WHERE run_id = ?1 AND state IN ('running', 'paused')",
    );
  }

  async start(): Promise<void> {
    const position = this.#read("position");
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

  /** What was told under this sequence is seen by everybody who asks from now on. */
  told(seq: number): void {
    this.#latest = Math.max(this.#latest, seq);
  }

  /** The latest first. */
  async list({ state, pattern, agent_id, parent_run, limit }: RunFilter, signal: AbortSignal): Promise<RunRecord[]> {
    await this.known(signal);
    const wanted = Object.entries({ state, pattern, agent_id, parent_run }).filter(([, value]) => value !== undefined);
    const conditions = wanted.map(([column]) => `AND ${column} = ?`).join(" ");
    const values = wanted.map(([, value]) => value as string);
    return this.#records(`SELECT record FROM runs WHERE true ${conditions} ORDER BY run_id DESC LIMIT ?`, [...values, limit]);
  }

  /** Those that are to be played, the oldest first. */
  runningOf(owner: string): RunRecord[] {
    return this.#records("SELECT record FROM runs WHERE owner = ? AND state = 'running' ORDER BY run_id", [owner]);
  }

  /** Position in the log at which a run began; undefined when the log does not tell of it. */
  sinceOf(run: string): number | undefined {
    return this.#database.prepare("SELECT seq FROM runs WHERE run_id = ?").get(run)?.seq as number | undefined;
  }

  /** Resolves once it knows what this daemon told of runs, and what was told before it started. */
  async known(signal: AbortSignal): Promise<void> {
    await this.caughtUp;
    await this.#projection?.reached(this.#latest, signal);
  }

  ownersOfOpenRuns(): string[] {
    const rows = this.#database.prepare("SELECT DISTINCT owner FROM runs WHERE state IN ('running', 'paused')").all();
    return rows.map(({ owner }) => String(owner));
  }

  /** How many runs a run has started, and what those that ended have spent with all below them. */
  below(run: string): { readonly children: number; readonly spent: Spend } {
    const count = this.#database.prepare("SELECT count(*) AS children FROM runs WHERE parent_run = ?").get(run);
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
    const before = this.#read("position");
    this.#database.transaction(() => {
      if (before !== undefined && (JSON.parse(before) as LogPosition).log !== position.log) this.#database.exec("DELETE FROM runs");
      for (const event of events) this.#apply(event);
      this.#keep.run("position", JSON.stringify(position));
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
    const { run_id, usage } = data as { run_id: string; usage?: Spend };
    const isOpen = action === "paused" || action === "resumed";
    const state = action === "resumed" ? "running" : action;
    const patch = { state, ...(!isOpen && { ended_at: time }) };
    this.#update.run(run_id, state, usage?.tokens ?? 0, usage?.cost ?? 0, JSON.stringify(patch));
  }
}
