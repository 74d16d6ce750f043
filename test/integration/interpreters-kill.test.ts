/** A run that thinks survives a crash, and what a model answered is never paid for twice. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { askerOn } from "../harness/ask.ts";
import { type DaemonProcess, startDaemonProcess } from "../harness/daemon-process.ts";
import { type ModelAnswer, type ModelRequest, protocols, startModelServer } from "../harness/model-server.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const judgement = (set: object[] = []) => ({
  content: JSON.stringify({ reason: "So it is.", decision: "yes", confidence: 1, set, emit: [] }),
});
const acted = (name: string, input: object): ModelAnswer => ({ toolCalls: [{ name, arguments: JSON.stringify(input) }] });

/** A daemon as a process, with a model at this server. */
async function startThinkingDaemon(t: TestContext, url: string): Promise<DaemonProcess> {
  const folder = await mkdtemp(join(tmpdir(), "reprise-models-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const { provider, model, base_url } = protocols.openai_compatible(url);
  await writeFile(join(folder, "reprise.yaml"), `models:\n  default: {provider: ${provider}, model: ${model}, base_url: "${base_url}"}\n`);
  return startDaemonProcess({ cwd: folder });
}

const patternOf = (strategy: string) =>
  `name: thinking\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: |\n${strategy.replaceAll(/^/gm, "    ")}\n`;

const cases: Record<string, { strategy: string; requests: number; answer: (request: ModelRequest, index: number) => ModelAnswer }> = {
  hybrid: {
    strategy:
      'LOOP i FROM 1 TO 3:\n  Think about number {{i}}.\n  EMIT "test:thought" WITH {i}\nAWAIT "test:go"\nThink once more.\nRETURN "done"',
    requests: 4,
    answer: () => judgement(),
  },
  llm: {
    strategy: 'EMIT "test:thought" three times, AWAIT "test:go", RETURN "done"',
    requests: 5,
    answer: (_, index) =>
      index < 3
        ? acted("emit", { event: "test:thought", data: { i: index + 1 } })
        : index === 3
          ? acted("await_event", { event: "test:go" })
          : acted("return", { value: "done" }),
  },
};

for (const [interpreter, { strategy, requests, answer }] of Object.entries(cases)) {
  test(`kill -9 while a ${interpreter} run waits, and while it is thinking: answers that came are not asked for again`, async (t) => {
    // The last request hangs until the daemon was killed once more.
    let isHanging = true;
    await using server = await startModelServer(async (request, index) => {
      if (index === requests - 1 && isHanging) await new Promise(() => {});
      return answer(request, Math.min(index, requests - 1));
    });
    await using daemon = await startThinkingDaemon(t, server.url);
    const client = await connectForEver(daemon.url);
    t.after(() => client.close());
    const { ask } = askerOn(client);
    await ask("composition:create", { type: "orchestration", name: "thinking", content: patternOf(strategy) });
    const { run_id } = await ask<{ run_id: string }>("orchestration:start", { pattern: "thinking", interpreter });
    const thoughts = async () =>
      (await ask<{ events: { data: { i: number } }[] }>("event:query", { types: ["test:thought"], run: run_id })).events;
    const waits = async () =>
      (await ask<{ doing?: { what: string }[] }>("orchestration:status", { run_id })).doing?.some(({ what }) => what.includes("test:go"));

    await until(waits, "the wait");
    const before = server.requests.length;
    assert.equal(before, requests - 1);
    await daemon.kill("SIGKILL");
    await daemon.restart();
    await until(waits, "the wait after the restart");
    assert.equal(server.requests.length, before, "nothing was asked again");

    await ask("event:emit", { event: "test:go" });
    await until(() => server.requests.length === requests, "the last thought");
    await daemon.kill("SIGKILL");
    isHanging = false;
    await daemon.restart();
    const { state, result } = await ask<{ state: string; result: unknown }>("orchestration:status", { run_id, wait: 30 });
    assert.deepEqual([state, result], ["completed", "done"]);
    assert.equal(server.requests.length, requests + 1, "only what nobody had answered was asked again");
    assert.deepEqual(
      (await thoughts()).map(({ data }) => data.i),
      [1, 2, 3],
    );
  });
}

test("however often it is killed, each kill costs at most one request more, and no event is missing or comes twice", async (t) => {
  const points = 40;
  const kills = 4;
  await using server = await startModelServer(async () => {
    await pause(15);
    return judgement();
  });
  await using daemon = await startThinkingDaemon(t, server.url);
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask } = askerOn(client);
  const strategy = `LOOP i FROM 1 TO ${points}:\n  Think about number {{i}}.\n  EMIT "test:thought" WITH {i}`;
  await ask("composition:create", { type: "orchestration", name: "thinking", content: patternOf(strategy) });
  const { run_id } = await ask<{ run_id: string }>("orchestration:start", { pattern: "thinking", interpreter: "hybrid" });
  for (let kill = 1; kill <= kills; kill++) {
    const soFar = server.requests.length;
    await until(() => server.requests.length >= soFar + 5, "five thoughts more");
    await pause(Math.random() * 20);
    await daemon.kill("SIGKILL");
    await daemon.restart();
  }
  assert.equal((await ask<{ state: string }>("orchestration:status", { run_id, wait: 60 })).state, "completed");
  const { events } = await ask<{ events: { data: { i: number } }[] }>("event:query", { types: ["test:thought"], run: run_id, limit: 1000 });
  assert.deepEqual(
    events.map(({ data }) => data.i),
    Array.from({ length: points }, (_, index) => index + 1),
  );
  assert.ok(server.requests.length <= points + kills, `${server.requests.length} requests for ${points} answers`);
});

test("a daemon that is stopped while a model is asked ends at once, and the run goes on after the restart", async (t) => {
  let isHanging = true;
  await using server = await startModelServer(async () => {
    if (isHanging) await new Promise(() => {});
    return judgement();
  });
  await using daemon = await startThinkingDaemon(t, server.url);
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask } = askerOn(client);
  await ask("composition:create", { type: "orchestration", name: "thinking", content: patternOf('Think.\nRETURN "done"') });
  const { run_id } = await ask<{ run_id: string }>("orchestration:start", { pattern: "thinking", interpreter: "hybrid" });
  await until(() => server.requests.length === 1, "the request");
  assert.equal(await daemon.kill("SIGTERM"), 0, "it ends by itself, not by the last resort");
  isHanging = false;
  await daemon.restart();
  const { state, result } = await ask<{ state: string; result: unknown }>("orchestration:status", { run_id, wait: 30 });
  assert.deepEqual([state, result], ["completed", "done"]);
});
