import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import type { DaemonProcess } from "../harness/daemon-process.ts";
import { rounds } from "../harness/rounds.ts";
import { startSharedServer } from "../harness/shared-server.ts";
import { until } from "../harness/until.ts";

const kept = 12;
const settings = `runs:
  keep_ended: ${kept}
  grace_minutes: 0.1
  sweep_minutes: 0.001
`;
const patternOf = (name: string, strategy: string) =>
  JSON.stringify({ name, type: "orchestration", version: "1.0.0", variables: { what: "" }, orchestration_logic: { strategy } });
const patterns = { echo: "RETURN {said: what}", held: 'STATE mine = what\nAWAIT "held:released"\nRETURN {said: mine}' };

/** Too large to stand in a journal; two runs have the same, so that contents are shared. */
const contentOf = (number: number) => `${Math.floor(number / 2)} `.repeat(20_000);

interface Listed {
  readonly run_id: string;
  readonly pattern: string;
  readonly commit: string;
  readonly state: string;
}

test("kill -9 while old runs are deleted, by one of two daemons: what is left is whole, and nothing else is left", async (t) => {
  await using shared = await startSharedServer();
  const { ask, codeOf, client, folder, startDaemon } = shared;
  await writeFile(join(folder, "reprise.yaml"), settings);
  // Each daemon has a repository of its own, so each is asked while it is alone.
  const daemons: DaemonProcess[] = [];
  for (const name of ["first", "second"]) {
    const daemon = await startDaemon(name);
    for (const [name, strategy] of Object.entries(patterns))
      await ask("composition:create", { type: "orchestration", name, content: patternOf(name, strategy) });
    await daemon.kill("SIGTERM");
    daemons.push(daemon);
  }
  for (const daemon of daemons) await daemon.restart();

  const said = new Map<string, string>();
  const start = async (pattern: string) => {
    const what = contentOf(said.size);
    const { run_id } = await ask<{ run_id: string }>("orchestration:start", { pattern, inputs: { what } });
    said.set(run_id, what);
  };
  for (let held = 0; held < 4; held++) await start("held");
  const kills = rounds(6, 60);
  for (let round = 0; round < kills; round++) {
    for (let run = 0; run < 8; run++) await start("echo");
    await pause(Math.random() * 1500); // at any moment of a sweep
    const daemon = daemons[round % 2] as DaemonProcess;
    await daemon.kill("SIGKILL");
    await daemon.restart();
  }

  const list = async () => (await ask<{ runs: Listed[] }>("orchestration:list", { limit: 1000 })).runs;
  const ended = (runs: Listed[]) => runs.filter(({ state }) => state === "completed").map(({ run_id }) => run_id);
  await until(
    async () => (await list()).every(({ state, pattern }) => state === "completed" || pattern === "held"),
    "the runs to end",
    60_000,
  );
  await until(async () => ended(await list()).length === kept, "the old runs to be deleted", 60_000);
  const left = await list();
  const manager = await jetstreamManager(client);
  const subjectsOf = async (stream: string, filter: string) =>
    Object.keys((await manager.streams.info(stream, { subjects_filter: filter })).state.subjects ?? {});
  await until(async () => (await subjectsOf("RUNS", ">")).length === left.length, "their journals to be deleted", 60_000);
  assert.deepEqual((await subjectsOf("RUNS", ">")).toSorted(), left.map(({ run_id }) => `run.${run_id}`).toSorted());

  await ask("event:emit", { event: "held:released" });
  const wholes = left.map(async ({ run_id }) => {
    const { result } = await ask<{ result: { said?: string } }>("orchestration:status", { run_id, wait: 60 });
    assert.ok(result.said === said.get(run_id), `${run_id} said ${JSON.stringify(result).slice(0, 100)}`);
    const again = await ask<{ run_id: string }>("orchestration:rerun", { run_id, from_step: "1" });
    said.set(again.run_id, said.get(run_id) as string);
    return again.run_id;
  });
  // A rerun of a held run goes on at once: what it waits for is to come again.
  const reruns = await Promise.all(wholes);
  await ask("event:emit", { event: "held:released" });
  for (const run_id of reruns) {
    const { state } = await ask<{ state: string }>("orchestration:status", { run_id, wait: 60 });
    assert.equal(state, "completed");
  }
  const gone = [...said.keys()].find((run) => !left.some(({ run_id }) => run_id === run) && !reruns.includes(run));
  assert.equal(await codeOf("orchestration:journal", { run_id: gone }), "RUN_DELETED");

  // In the end as many are left as are kept, and of the contents those that these refer to.
  await until(async () => (await list()).length === kept, "the rest to be deleted", 60_000);
  const contents = new Set((await list()).map(({ run_id }) => said.get(run_id)));
  const definitions = new Set((await list()).map(({ pattern, commit }) => `${pattern} ${commit}`));
  // Of each content the input, and the result that holds it.
  const expected = 2 * contents.size + definitions.size;
  const objects = () => subjectsOf("OBJ_orchestration_objects", "$O.orchestration_objects.M.>");
  const enough = async () => (await objects()).length <= expected;
  await until(enough, "the contents to be deleted", 60_000).catch(() => {});
  assert.equal((await objects()).length, expected);
  const parts = () => subjectsOf("OBJ_orchestration_objects", "$O.orchestration_objects.C.>");
  await until(async () => (await parts()).length === expected, "what interrupted writes left to be deleted", 60_000);
  t.diagnostic(`${kills} kills over ${said.size} runs`);
});
