import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { projectFolder } from "../../daemon/project.ts";
import { askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { rounds } from "../harness/rounds.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const calls = 60;

const content = `
name: profiling
type: orchestration
version: 1.0.0
orchestration_logic:
  strategy: |
    LOOP i FROM 1 TO ${calls}:
      RUN "profile_file" WITH {path} AS profile
    RETURN {done: ${calls}}
`;

/** Every call of a tool leaves a `tool:completed` in the log, so that calls can be counted. */
for (const signal of ["SIGKILL", "SIGTERM"] as const) {
  test(`${signal} in the middle of a run: it ends by itself after the restart, and no completed step is run again`, async (t) => {
    await using daemon = await startDaemonProcess();
    const client = await connectForEver(daemon.url);
    t.after(() => client.close());
    const { ask } = askerOn(client);
    await ask("composition:create", { type: "orchestration", name: "profiling", content });

    const repetitions: number[] = [];
    for (let round = 0; round < rounds(2, 20); round++) {
      const inputs = { path: join(projectFolder, "package.json") };
      const { run_id } = await ask<{ run_id: string }>("orchestration:start", { pattern: "profiling", inputs });
      const status = (wait: number) => ask<{ state: string; steps: number; result?: unknown }>("orchestration:status", { run_id, wait });
      const { state } = await until(async () => {
        const now = await status(0);
        return now.steps >= 10 && now;
      }, "ten steps");
      assert.equal(state, "running");
      await daemon.kill(signal);
      await daemon.restart();
      assert.deepEqual((await status(30)).result, { done: calls });
      const made = (await readStoredEvents(daemon)).filter(({ type, run }) => type === "tool:completed" && run === run_id);
      repetitions.push(made.length - calls);
    }
    // The step that was under way may be run again, since the tool is idempotent.
    assert.ok(
      repetitions.every((number) => number === 0 || number === 1),
      String(repetitions),
    );
  });
}
