/**
 * The module is killed at every kind of boundary between two durable writes, before the write and after it, in a world whose log,
 * journal and tools survive: from a kill on nothing that the old module does has any effect.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import type { RunJournal, StateStore } from "../../daemon/module.ts";
import orchestration from "../../modules/orchestration/index.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import {
  createJournal,
  createObjectStore,
  createStateStore,
  startModule,
  type TestHandler,
  type TestModule,
} from "../harness/module-context.ts";
import { rounds } from "../harness/rounds.ts";

const strategy = `
EMIT "work:begun" WITH {label: "first"}
RUN "count" WITH {label: "one"} AS one
STATE chance = $random()
EMIT "work:done" WITH {label: "second"}
PARALLEL:
  RUN "count" WITH {label: "left"} AS left
  EMIT "work:done" WITH {label: "right"}
LOOP i FROM 1 TO 3:
  EMIT "work:done" WITH {label: "loop " & $string(i)}
  RUN "count" WITH {label: "loop " & $string(i)} AS last
RETURN {one, left, last, chance, again: chance}`;

const counted = ["one", "left", "loop 1", "loop 2", "loop 3"];
const emitted = ["first", "second", "right", "loop 1", "loop 2", "loop 3"];

/** What survives a kill. */
interface World {
  readonly log: MemoryEventLog;
  readonly journal: RunJournal;
  readonly state: StateStore;
  readonly objects: ReturnType<typeof createObjectStore>;
  readonly folder: string;
  readonly database: string;
  /** `run label` → how often the tool did it; it honours the idempotency key. */
  readonly counters: Map<string, number>;
  readonly keys: Set<string>;
}

/** Counts the durable writes of one process, and kills it at one of them. */
interface Fate {
  /** Kinds of writes so far. */
  readonly kinds: string[];
  /** @returns the write's outcome, unless the process is dead by then */
  write<Result>(kind: string, work: () => Result | Promise<Result>): Promise<Result>;
  isDead(): boolean;
  /** What the dead process waits for fails, so that it leaves nothing behind in the test's process. */
  bury(): void;
  /** Never resolves. */
  readonly grave: Promise<never>;
}

function fateOf(killAt: number, isAfter: boolean): Fate {
  const kinds: string[] = [];
  let dead = false;
  const { promise: grave, reject } = Promise.withResolvers<never>();
  grave.catch(() => {});
  return {
    kinds,
    isDead: () => dead,
    grave,
    bury() {
      dead = true;
      reject(new CodedError("SHUTTING_DOWN", "the process is dead"));
    },
    async write(kind, work) {
      if (dead) return grave;
      const index = kinds.push(kind) - 1;
      if (index === killAt && !isAfter) {
        dead = true;
        return grave;
      }
      const result = await work();
      if (index === killAt) dead = true;
      return dead ? grave : result;
    },
  };
}

async function startIn(world: World, life: "first" | "second", fate: Fate): Promise<TestModule<AsyncDisposable>> {
  const { log, journal, state } = world;
  const emit: TestHandler = ((request: { event: string; id: string; data: unknown }, { cause }: { cause: { run: string } }) =>
    fate.write("event", () => {
      const { seq, duplicate } = log.append({
        id: request.id,
        type: request.event,
        time: new Date().toISOString(),
        source: "run",
        data: request.data,
        correlation: request.id,
        hops: 0,
        run: cause.run,
      });
      return { status: duplicate ? "duplicate" : "emitted", id: request.id, seq };
    })) as TestHandler;
  const count: TestHandler = ((request: { arguments: { label: string }; idempotency_key: string }) =>
    fate.write("tool", () => {
      const { idempotency_key: key } = request;
      const name = `${key.split("/")[0]} ${request.arguments.label}`;
      if (!world.keys.has(key)) world.counters.set(name, (world.counters.get(name) ?? 0) + 1);
      world.keys.add(key);
      return { result: { label: request.arguments.label } };
    })) as TestHandler;
  const module = await startModule(orchestration, {
    folder: join(world.folder, life),
    database: world.database,
    objects: world.objects,
    log,
    journal: {
      read: (run) => (fate.isDead() ? fate.grave : journal.read(run)),
      append: (run, index, entry) => fate.write(`entry ${(entry as { type: string }).type}`, () => journal.append(run, index, entry)),
      delete: journal.delete,
    },
    state: {
      ...state,
      put: (key, value, revision) => (fate.isDead() ? fate.grave : state.put(key, value, revision)),
      delete: (key) => (fate.isDead() ? fate.grave : state.delete(key)),
    },
    handlers: {
      "composition:render": (() => ({
        name: "work",
        type: "orchestration",
        version: "1.0.0",
        commit: "c1",
        data: { name: "work", orchestration_logic: { strategy } },
      })) as TestHandler,
      "event:emit": emit,
      "tool:call": count,
      "tool:list": () => ({ tools: [] }),
    },
  });
  const { emit: tell } = module.context;
  Object.assign(module.context, {
    emit: (...told: Parameters<typeof tell>) =>
      told[0] === "orchestration:progressed" ? tell(...told) : fate.write(`told ${told[0].split(":")[1]}`, () => tell(...told)),
  });
  return module;
}

/** @returns the kinds of writes of a life that nothing ended */
async function live(world: World, killAt: number, isAfter: boolean): Promise<string[]> {
  const runs: string[] = [];
  const fate = fateOf(killAt, isAfter);
  const first = await startIn(world, "first", fate);
  for (let run = 0; run < 2; run++) {
    const started = first.call<{ run_id: string }>("orchestration:start", { pattern: "work" });
    const answered = await Promise.race([started, untilDead(fate)]);
    if (answered !== undefined) runs.push(answered.run_id);
  }
  await using _buried = {
    async [Symbol.asyncDispose]() {
      fate.bury();
      await first[Symbol.asyncDispose]();
    },
  };
  const ends = Promise.all(runs.map((run_id) => first.call("orchestration:status", { run_id, wait: 20 })));
  await Promise.race([ends, untilDead(fate)]);
  const { kinds } = fate;

  await using second = await startIn(world, "second", fateOf(Number.POSITIVE_INFINITY, false));
  // A start that was not answered may have taken place.
  const begun = world.log.ofType("orchestration:started").map(({ run }) => run as string);
  assert.ok(runs.every((run) => begun.includes(run)));
  for (const run_id of begun) {
    const status = await second.call("orchestration:status", { run_id, wait: 20 });
    const where = `killed ${isAfter ? "after" : "before"} write ${killAt} (${kinds[killAt]})`;
    assert.equal(status.state, "completed", `${where}: ${JSON.stringify(status.error ?? status.doing)}`);
    assert.equal(status.result.chance, status.result.again, where);
    for (const label of counted) assert.equal(world.counters.get(`${run_id} ${label}`), 1, `${where}: ${label}`);
    const labels = world.log.ofType("work:*").filter(({ run }) => run === run_id);
    assert.deepEqual(labels.map(({ data }) => (data as { label: string }).label).toSorted(), emitted.toSorted(), where);
    assert.equal(world.log.ofType("orchestration:completed").filter(({ run }) => run === run_id).length, 1, where);
  }
  return kinds;
}

async function untilDead(fate: Fate): Promise<undefined> {
  while (!fate.isDead()) await new Promise((resolve) => setTimeout(resolve, 1));
  return undefined;
}

test("a run that is killed at any boundary of its journal goes on: no effect twice, none missing, no run stuck", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "reprise-crash-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const kinds = new Map<string, number>();
  const newWorld = (name: string): World => ({
    log: new MemoryEventLog(),
    journal: createJournal(),
    state: createStateStore(),
    objects: createObjectStore(),
    folder,
    database: join(folder, `${name}.sqlite`),
    counters: new Map(),
    keys: new Set(),
  });
  const kills = rounds(80, 500);
  const writes = (await live(newWorld("unharmed"), Number.POSITIVE_INFINITY, false)).length;
  for (let kill = 0; kill < kills; kill++) {
    const killAt = Math.floor((kill * writes) / kills);
    const kind = (await live(newWorld(String(kill)), killAt, kill % 2 === 1))[killAt];
    if (kind !== undefined) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  for (const kind of ["event", "tool", "entry started", "entry steps", "entry ended", "told started", "told completed"]) {
    assert.ok((kinds.get(kind) ?? 0) > 0, `no kill at: ${kind}`);
  }
  t.diagnostic(`${kills} kills over ${2 * kills} runs: ${JSON.stringify(Object.fromEntries(kinds))}`);
});
