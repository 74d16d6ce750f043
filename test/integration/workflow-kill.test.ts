/** A daemon that is killed in the middle of a learned workflow: the run goes on to its end, and each decision has one outcome. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { connectForEver } from "../harness/writers.ts";

/** Of a run with three choices and three outcomes: the daemon is killed when the client hears of so many. */
const moments = [
  ["policy.selected", 1],
  ["policy.selected", 3],
  ["policy.outcome_recorded", 1],
] as const;

test("a learned workflow ends after kill -9 among its choices and outcomes, with one outcome for each decision", async (t) => {
  await using daemon = await startDaemonProcess();
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask } = askerOn(client);
  const empty = await mkdtemp(join(tmpdir(), "reprise-places-"));
  t.after(() => rm(empty, { recursive: true, force: true }));
  const inputs = { documents: empty, sources: empty, data: empty };
  const idsOf = async (run: string, type: string): Promise<string[]> => {
    const { events } = await ask<{ events: { data: { decision_id: string } }[] }>("event:query", { run, types: [type] });
    return events.map(({ data }) => data.decision_id);
  };

  const known = new Set<string>();
  let completed = 0;
  client.subscribe("event.orchestration.completed", { callback: () => void completed++ });
  let interrupted = 0;
  for (const [round, [type, count]] of moments.entries()) {
    const killed = Promise.withResolvers<number | string>();
    let heard = 0;
    const callback = () => {
      if (++heard === count) killed.resolve(daemon.kill("SIGKILL"));
    };
    const hearing = client.subscribe(`event.${type}`, { callback });
    await client.flush();
    // The daemon may be gone before it answers.
    const start = JSON.stringify({ pattern: "search_places", inputs });
    void client.request("orchestration:start", start, { timeout: 60_000 }).catch(() => undefined);
    assert.equal(await killed.promise, "SIGKILL");
    if (completed === round) interrupted++;
    hearing.unsubscribe();
    await daemon.restart();
    const { runs } = await ask<{ runs: { run_id: string }[] }>("orchestration:list", {});
    const run_id = runs.find((run) => !known.has(run.run_id))?.run_id ?? assert.fail("the run is not there");
    known.add(run_id);
    const wanted = { run_id, wait: 60 };
    const { state, result, error } = await ask<{ state: string; result: { looked: string[] }; error?: unknown }>(
      "orchestration:status",
      wanted,
    );
    assert.deepEqual([state, result?.looked.length], ["completed", 3], JSON.stringify(error));
    const decisions = await idsOf(run_id, "policy:selected");
    assert.equal(new Set(decisions).size, 3);
    assert.deepEqual(await idsOf(run_id, "policy:outcome_recorded"), decisions);
  }
  assert.ok(interrupted > 0, "every run had ended before the daemon did");
  t.diagnostic(`${interrupted} of ${moments.length} runs were interrupted`);
});
