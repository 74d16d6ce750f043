import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { projectFolder } from "../../daemon/project.ts";
import { type Asker, askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { rounds } from "../harness/rounds.ts";

const counts = 40;
const openRuns = rounds(8, 4);

/** Two effects a round, so that kills meet runs before, in and after each. */
const content = `
name: counting
type: orchestration
version: 1.0.0
orchestration_logic:
  strategy: |
    LOOP i FROM 1 TO ${counts}:
      RUN "profile_file" WITH {path} AS profile
      EMIT "counting:counted" WITH {i, size: profile.size}
    RETURN {counted: ${counts}}
`;

interface Page {
  events: { data: { i: number } }[];
  cursor?: string;
}

async function countsOf(run: string, { ask }: Asker): Promise<number[]> {
  const found: number[] = [];
  let page: Page | undefined;
  do {
    const cursor = page?.cursor;
    page = await ask<Page>("event:query", { run, types: ["counting:counted"], limit: 1000, ...(cursor && { cursor }) });
    found.push(...page.events.map(({ data }) => data.i));
  } while (page.cursor !== undefined);
  return found;
}

test("runs go on after kill -9 of the daemon: every effect once, none missing, no run stuck", async (t) => {
  await using daemon = await startDaemonProcess();
  const withClient = async <Result>(use: (asker: Asker) => Promise<Result>): Promise<Result> => {
    const client = await connect({ servers: daemon.url });
    try {
      return await use(askerOn(client));
    } finally {
      await client.close();
    }
  };
  const start = async ({ ask }: Asker): Promise<string> => {
    const inputs = { path: join(projectFolder, "package.json") };
    return (await ask<{ run_id: string }>("orchestration:start", { pattern: "counting", inputs })).run_id;
  };

  await withClient(({ ask }) => ask("composition:create", { type: "orchestration", name: "counting", content }));
  const runs: string[] = [];
  const kills = rounds(4, 250);
  let interrupted = 0;
  for (let round = 0; round < kills; round++) {
    await withClient(async (asker) => {
      runs.push(...(await Promise.all(Array.from({ length: openRuns }, () => start(asker)))));
      await pause(Math.random() * 100); // at any moment, so that in the soak many are met
      interrupted += (await asker.ask<{ runs: unknown[] }>("orchestration:list", { state: "running" })).runs.length;
    });
    await daemon.kill("SIGKILL");
    await daemon.restart();
  }
  assert.ok(interrupted > 0, "no run was open when the daemon was killed");
  await withClient(async (asker) => {
    for (const run of runs) {
      const status = await asker.ask<{ state: string; result: unknown; error?: unknown }>("orchestration:status", {
        run_id: run,
        wait: 30,
      });
      assert.deepEqual([status.state, status.result], ["completed", { counted: counts }], JSON.stringify(status.error));
      assert.deepEqual(
        await countsOf(run, asker),
        Array.from({ length: counts }, (_, index) => index + 1),
      );
    }
  });
  t.diagnostic(`${kills} kills over ${runs.length} runs, ${interrupted} times one was open`);
});
