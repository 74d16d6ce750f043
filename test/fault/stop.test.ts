import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type DaemonProcess, spawnDaemon, startDaemonProcess } from "../harness/daemon-process.ts";
import { assertPromisesKept } from "../harness/promises.ts";
import { rounds } from "../harness/rounds.ts";
import { until } from "../harness/until.ts";
import { startWriters } from "../harness/writers.ts";

const isAlive = (pid: number) => existsSync(`/proc/${pid}`);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} under load: exit code 0 within 5 s, no server left, nothing acknowledged lost`, async () => {
    await using daemon = await startDaemonProcess();
    await using writers = await startWriters({ url: daemon.url, scheduledEvery: 10 });
    const server = await daemon.serverPid();
    await until(() => writers.acknowledged.length > 100, "the load to get on");
    const since = performance.now();
    assert.equal(await daemon.kill(signal), 0);
    assert.ok(performance.now() - since < 5_000);
    assert.ok(!isAlive(server));
    await daemon.restart();
    await writers.finish();
    await assertPromisesKept(daemon, writers.acknowledged);
    assert.deepEqual(unexpectedSetbacks(writers.setbacks), []);
  });
}

/** A daemon that stops says so or says nothing; it never reports a defect. */
const unexpectedSetbacks = (setbacks: ReadonlyMap<string, number>): string[] =>
  [...setbacks.keys()].filter((code) => !["no reply", "SHUTTING_DOWN", "EVENT_OUTCOME_UNKNOWN", "EVENT_LOG_UNAVAILABLE"].includes(code));

test("SIGTERM at any moment of a start: it ends within 5 s, no server left, and the next start is ready", async () => {
  await using daemon = await startDaemonProcess();
  const longest = daemon.readyMilliseconds * 1.5;
  await daemon.kill("SIGTERM");
  const stops = rounds(6, 40);
  const endings: unknown[] = [];
  for (let round = 0; round < stops; round++) {
    daemon.spawnAgain();
    await pause((round / (stops - 1)) * longest);
    const since = performance.now();
    endings.push(await daemon.kill("SIGTERM"));
    assert.ok(performance.now() - since < 5_000);
    const server = await daemon.serverPid().catch(() => undefined);
    assert.ok(server === undefined || !isAlive(server));
  }
  // Before its own code runs, Node ends it by the signal; then nothing has been started.
  assert.deepEqual(
    endings.filter((ending) => ending !== 0 && ending !== "SIGTERM"),
    [],
    daemon.log,
  );
  assert.ok(endings.includes(0));
  await daemon.restart();
});

test("a second daemon on the same data folder refuses at once, naming the owner, and the first goes on", async () => {
  await using daemon = await startDaemonProcess();
  await using writers = await startWriters({ url: daemon.url });
  const { code, log, milliseconds } = await refusal(daemon);
  assert.equal(code, 1);
  assert.ok(milliseconds < 10_000, `${milliseconds} ms`);
  assert.match(log, new RegExp(`is owned by process ${daemon.process.pid} `));
  const before = writers.acknowledged.length;
  await until(() => writers.acknowledged.length > before + 20, "the load to go on");
  await writers.finish();
  await assertPromisesKept(daemon, writers.acknowledged);
});

async function refusal({ data }: DaemonProcess): Promise<{ code: number; log: string; milliseconds: number }> {
  const since = performance.now();
  const second = spawnDaemon(data, ["--nats-port", "0", "--http-port", "0"]);
  let log = "";
  second.stderr?.setEncoding("utf8").on("data", (text) => {
    log += text;
  });
  const [code] = await once(second, "close");
  return { code, log, milliseconds: performance.now() - since };
}
