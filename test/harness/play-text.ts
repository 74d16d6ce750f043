/** Plays the text of a pattern in memory: its effects are answered by the test, its waits by an event log in memory. */
import jsonata from "jsonata";
import type { ModuleContext } from "../../daemon/module.ts";
import { openWaits } from "../../modules/orchestration/daemon-waits.ts";
import type { Effect, Effects } from "../../modules/orchestration/interpreter/effects.ts";
import { play } from "../../modules/orchestration/interpreter/interpreter.ts";
import { createJournal, type JournalStore, type StepsEntry } from "../../modules/orchestration/interpreter/journal.ts";
import { defaultLimits, type Limits } from "../../modules/orchestration/interpreter/limits.ts";
import { patternOf } from "../../modules/orchestration/pattern.ts";
import type { StartedEntry } from "../../modules/orchestration/record.ts";
import { openWatch } from "../../modules/orchestration/watch.ts";
import { MemoryEventLog } from "./memory-log.ts";

interface Performed {
  readonly step: string;
  readonly effect: Effect;
}

export type Answer = (effect: Effect, step: string, signal: AbortSignal) => unknown;

export interface PlayOptions {
  readonly variables?: Record<string, unknown>;
  readonly answer?: Answer;
  /** The journal, which a second play continues. */
  readonly entries?: unknown[];
  readonly limits?: Partial<Limits>;
  readonly signal?: AbortSignal;
  readonly repeatable?: boolean;
  readonly store?: JournalStore;
  /** Where AWAIT and ON look for events. */
  readonly log?: MemoryEventLog;
  /** The reply of `agent:info`. */
  readonly agent?: (id: string) => unknown;
  /** Strategies of other patterns. */
  readonly patterns?: Readonly<Record<string, string>>;
  readonly thinks?: boolean;
}

/** Stores an event as an agent, or anybody, emitted it. */
export function store(log: MemoryEventLog, type: string, data: unknown = {}, agent?: string): number {
  const id = `event-${log.records.length + 1}`;
  const time = new Date(log.records.length + 1).toISOString();
  return log.append({ id, type, time, source: "test", data, correlation: id, hops: 0, ...(agent && { agent }) }).seq;
}

/** YAML of a pattern with this strategy. */
export const patternText = (strategy: string, fields = "", name = "test"): string =>
  `name: ${name}\ntype: orchestration\nversion: 1.0.0\n${fields}orchestration_logic:\n  strategy: |2\n${strategy.replace(/^/gm, "    ")}\n`;

export async function playText(text: string, options: PlayOptions = {}) {
  const entries = options.entries ?? [];
  const performed: Performed[] = [];
  const judgements: string[] = [];
  const signal = options.signal ?? new AbortController().signal;
  const log = options.log ?? new MemoryEventLog();
  const evaluate: ModuleContext["expressions"]["evaluate"] = async (expression, input, bindings) =>
    jsonata(expression).evaluate(input, bindings);
  const context = {
    signal,
    project: async (wanted: Parameters<ModuleContext["project"]>[0]) => log.project(wanted),
    position: async () => ({ log: log.identity, seq: log.records.length }),
    events: { query: async (query: Parameters<ModuleContext["events"]["query"]>[0]) => log.query(query) },
    expressions: { evaluate },
    call: async (_: string, { agent_id }: { agent_id: string }) => options.agent?.(agent_id) ?? { agent_id, state: "active" },
  } as unknown as ModuleContext;
  await using watch = openWatch(context);
  const run = { run_id: "R", at: new Date(0).toISOString() } as StartedEntry;
  const waits = openWaits({ context, watch, run, since: 0 });
  const effects: Effects = {
    async perform(effect, step, stopped) {
      performed.push({ step, effect });
      await new Promise((resolve) => setImmediate(resolve));
      const answer = await options.answer?.(effect, step, stopped);
      return answer === undefined && effect.kind === "await" ? waits.wait(effect, stopped) : answer;
    },
    follow: waits.follow,
    isSelfRecording: () => false,
    isRead: (effect) => ["sleep", "judge"].includes(effect.kind) || (effect.kind === "call" && effect.command.endsWith(":get")),
    isRepeatable: async () => options.repeatable ?? true,
  };
  const store: JournalStore = options.store ?? {
    read: async () => structuredClone(entries),
    async append(index, entry) {
      if (index !== entries.length) return "conflict";
      entries.push(JSON.parse(JSON.stringify(entry)));
      return "appended";
    },
  };
  const journal = createJournal({ store, length: entries.length, steps: [...entries] as StepsEntry[], elapsed: () => 0, signal });
  const { strategy } = patternOf(patternText(text));
  const outcome = await play({
    name: "test",
    strategy,
    variables: options.variables ?? {},
    effects,
    expressions: { evaluate },
    patterns: async (name) => {
      const found = options.patterns?.[name];
      if (found === undefined) throw new Error(`the test has no pattern ${name}`);
      return patternOf(found.includes("orchestration_logic") ? found : patternText(found, "", name));
    },
    thinks: options.thinks ?? false,
    journal,
    limits: { ...defaultLimits, ...options.limits },
    signal,
    onJudgement: (passed) => judgements.push(passed.text),
  }).then(
    (result) => ({ result: result === undefined ? undefined : JSON.parse(JSON.stringify(result)), error: undefined }),
    (error: unknown) => ({ result: undefined, error }),
  );
  await journal.flush().catch(() => {});
  return {
    ...outcome,
    performed,
    judgements,
    entries,
    events: performed.map(({ effect }) => (effect.kind === "emit" ? effect.event : effect.kind)),
  };
}
