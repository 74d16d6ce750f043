import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CodedError } from "../../daemon/errors.ts";
import orchestration from "../../modules/orchestration/index.ts";
import { createJournal, createObjectStore, createStateStore, startModule, type TestHandler } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const large = (name: string) => name.repeat(40_000);
const strategies: Record<string, string> = {
  quick: "RETURN {said: what}",
  held: 'STATE kept = what\nAWAIT "it:came"\nRETURN {said: kept}',
  parent: 'CALL "orchestration:start" WITH {pattern: "quick"} AS child\nAWAIT "it:came"',
};
const render = (({ name }: { name: string }) => ({
  name,
  type: "orchestration",
  version: "1.0.0",
  commit: "c1",
  data: { name, orchestration_logic: { strategy: strategies[name] } },
})) as TestHandler;

const minute = 60_000;
/** Sweeps all the time; what is as old as a tenth of a second may go. */
const hasty = { grace_minutes: 100 / minute, sweep_minutes: 10 / minute };

function start(settings: object, shared: Partial<Parameters<typeof startModule>[1]> = {}) {
  return startModule(orchestration, { ...shared, settings: { ...hasty, ...settings }, handlers: { "composition:render": render } });
}

type Started = Awaited<ReturnType<typeof start>>;

async function played(module: Started, pattern: string, what: string): Promise<string> {
  const { run_id } = await module.call("orchestration:start", { pattern, inputs: { what } });
  if (pattern === "quick") await module.call("orchestration:status", { run_id, wait: 5 });
  return run_id;
}

const listed = async (module: Started): Promise<string[]> =>
  (await module.call<{ runs: { run_id: string }[] }>("orchestration:list", {})).runs.map(({ run_id }) => run_id).toSorted();

const codeOf = (asked: Promise<unknown>) =>
  asked.then(
    () => "none",
    (error: CodedError) => error.code,
  );

describe("the history of runs", () => {
  it("keeps the latest that ended, every open one, and what these refer to", async () => {
    const objects = createObjectStore();
    await using module = await start({ keep_ended: 2 }, { objects });
    const held = await played(module, "held", large("h"));
    const ended: string[] = [];
    for (const what of ["a", "b", "c", "d"]) ended.push(await played(module, "quick", large(what)));
    const [first, second, ...latest] = ended as [string, string, string, string];
    await until(async () => (await listed(module)).length === 3, "the oldest to be deleted");
    assert.deepEqual(await listed(module), [held, ...latest].toSorted());
    for (const run_id of [first, second]) {
      assert.equal(await codeOf(module.call("orchestration:journal", { run_id })), "RUN_DELETED");
      assert.equal(await codeOf(module.call("orchestration:rerun", { run_id, from_step: "1" })), "RUN_DELETED");
    }
    assert.equal(await codeOf(module.call("orchestration:journal", { run_id: "never" })), "RUN_NOT_FOUND");
    // Two definitions, and input and result of each that is left; the held one has no result yet.
    await until(async () => (await objects.list(Number.POSITIVE_INFINITY)).length === 7, "what nobody refers to any more to be deleted");
    for (const [index, run_id] of latest.entries()) {
      const again = await module.call("orchestration:rerun", { run_id, from_step: "1" });
      const { result } = await module.call("orchestration:status", { run_id: again.run_id, wait: 5 });
      assert.deepEqual(result, { said: large(["c", "d"][index] as string) });
    }
    module.publish("it:came");
    assert.deepEqual((await module.call("orchestration:status", { run_id: held, wait: 5 })).result, { said: large("h") });
  });

  it("keeps what ended within the grace, however much that is", async () => {
    await using module = await start({ keep_ended: 0, grace_minutes: 10 });
    const run = await played(module, "quick", "a");
    await new Promise((resolve) => setTimeout(resolve, 100)); // several sweeps
    assert.deepEqual(await listed(module), [run]);
  });

  it("deletes what ended too long ago, however little that is", async () => {
    await using module = await start({ keep_days: 200 / (24 * 60 * minute) });
    await played(module, "quick", "a");
    await until(async () => (await listed(module)).length === 0, "the run to be deleted");
  });

  it("keeps what a run has started as long as that run", async () => {
    await using module = await start({ keep_ended: 0 });
    const parent = await played(module, "parent", "a");
    await until(async () => (await listed(module)).length === 2, "the child");
    const other = await played(module, "quick", "a");
    await until(async () => !(await listed(module)).includes(other), "the other to be deleted");
    assert.equal((await listed(module)).length, 2);
    await module.call("orchestration:cancel", { run_id: parent });
    await until(async () => (await listed(module)).length === 0, "both to be deleted");
  });

  it("is told in the log, so that every daemon and a later one know the same", async () => {
    const shared = { state: createStateStore(), journal: createJournal(), objects: createObjectStore() };
    await using one = await start({ keep_ended: 0 }, shared);
    await using other = await start({ keep_ended: 100 }, { ...shared, log: one.log });
    const run = await played(one, "quick", "a");
    await until(async () => (await listed(other)).includes(run), "the other daemon to know the run");
    await until(async () => (await listed(one)).length + (await listed(other)).length === 0, "both to forget it");
    assert.deepEqual(
      one.log.ofType("orchestration:deleted").map(({ data }) => data),
      [{ run_ids: [run] }],
    );
  });
});
