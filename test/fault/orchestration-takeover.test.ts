import assert from "node:assert/strict";
import { test } from "node:test";
import { startSharedServer } from "../harness/shared-server.ts";
import { until } from "../harness/until.ts";

const counts = 30;

/** Some effects, a wait during which the owner changes, more effects. */
const content = JSON.stringify({
  name: "handed_on",
  type: "orchestration",
  version: "1.0.0",
  orchestration_logic: {
    strategy: `LOOP i FROM 1 TO ${counts}:
  EMIT "handed:counted" WITH {i}
AWAIT "handed:released"
LOOP i FROM ${counts + 1} TO ${2 * counts}:
  EMIT "handed:counted" WITH {i}
RETURN {counted: ${2 * counts}}`,
  },
});

interface Page {
  readonly events: { readonly data: { readonly i: number } }[];
}

test("another daemon takes over the runs of one that is stopped beyond its lease; what that one does when it wakes is refused", async () => {
  await using shared = await startSharedServer();
  const { ask, startDaemon } = shared;
  const first = await startDaemon("first");
  await ask("composition:create", { type: "orchestration", name: "handed_on", content });
  const runs = await Promise.all(
    Array.from({ length: 5 }, async () => (await ask<{ run_id: string }>("orchestration:start", { pattern: "handed_on" })).run_id),
  );
  const isWaiting = async (run_id: string) => {
    const { doing = [] } = await ask<{ doing?: { what: string }[] }>("orchestration:status", { run_id });
    return doing.some(({ what }) => what.includes("handed:released"));
  };
  for (const run of runs) await until(() => isWaiting(run), "the runs to wait");

  first.process.kill("SIGSTOP");
  shared.defer(() => void first.process.kill("SIGCONT"));
  const second = await startDaemon("second");
  // Meanwhile requests may go to either: both are of one queue group, and the first does not answer.
  await until(() => second.log.includes("takes over the runs of another"), "the second daemon to take over", 60_000);

  // Both believe that the runs are theirs, and get what the runs wait for.
  first.process.kill("SIGCONT");
  await ask("event:emit", { event: "handed:released" });
  for (const run of runs) {
    const entries = async () => (await ask<{ entries: { type: string }[] }>("orchestration:journal", { run_id: run, limit: 1000 })).entries;
    await until(async () => (await entries()).at(-1)?.type === "ended", "the end of the run", 30_000);
    const types = (await entries()).map(({ type }) => type);
    assert.equal(types.filter((type) => type === "ended").length, 1);
    assert.ok(types.indexOf("taken") < types.indexOf("ended"));
    const { events } = await ask<Page>("event:query", { run, types: ["handed:counted"], limit: 1000 });
    assert.deepEqual(
      events.map(({ data }) => data.i),
      Array.from({ length: 2 * counts }, (_, index) => index + 1),
    );
    const { events: ends } = await ask<Page>("event:query", { run, types: ["orchestration:completed"] });
    assert.equal(ends.length, 1);
  }
  await until(() => first.log.includes("another daemon has taken over"), "the first daemon to learn that it lost its lease");
});
