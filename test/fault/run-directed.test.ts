import assert from "node:assert/strict";
import { test } from "node:test";
import { startSharedServer } from "../harness/shared-server.ts";
import { until } from "../harness/until.ts";

const content = JSON.stringify({
  name: "held",
  type: "orchestration",
  version: "1.0.0",
  orchestration_logic: { strategy: 'AWAIT "held:released"\nRETURN 1' },
});

interface Status {
  readonly state: string;
  readonly directed?: string;
}

test("a run is paused, resumed and cancelled whichever daemon is asked, and also when the one that plays it was killed", async () => {
  await using shared = await startSharedServer();
  const { ask, startDaemon } = shared;
  const first = await startDaemon("first");
  await ask("composition:create", { type: "orchestration", name: "held", content });
  const runs: string[] = [];
  for (let run = 0; run < 3; run++) runs.push((await ask<{ run_id: string }>("orchestration:start", { pattern: "held" })).run_id);
  const [one, other, third] = runs as [string, string, string];
  await startDaemon("second");

  // Requests go to either.
  for (let round = 0; round < 6; round++) {
    for (const [command, state] of [
      ["pause", "paused"],
      ["resume", "running"],
    ]) {
      assert.equal((await ask<Status>(`orchestration:${command}`, { run_id: one })).state, state, `${command}, round ${round}`);
    }
  }
  const { events } = await ask<{ events: unknown[] }>("event:query", { types: ["orchestration:directed"] });
  assert.ok(events.length > 0, "no request reached the daemon that does not play the run");

  await first.kill("SIGKILL");
  const asked = await Promise.all([
    ask<Status>("orchestration:cancel", { run_id: one }),
    ask<Status>("orchestration:pause", { run_id: other }),
  ]);
  assert.deepEqual(
    asked.map(({ state, directed }) => [state, directed]),
    [
      ["running", "cancel"],
      ["running", "pause"],
    ],
  );
  await ask("event:emit", { event: "held:released" });
  const ends = ["cancelled", "paused", "completed"];
  for (const [index, run_id] of [one, other, third].entries()) {
    const state = async () => (await ask<Status>("orchestration:status", { run_id })).state;
    await until(async () => (await state()) === ends[index], `a run to be ${ends[index]}`, 60_000);
  }
  await ask("orchestration:resume", { run_id: other });
  assert.equal((await ask<Status>("orchestration:status", { run_id: other, wait: 30 })).state, "completed");
});
