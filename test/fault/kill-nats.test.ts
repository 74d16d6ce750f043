import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { assertPromisesKept } from "../harness/promises.ts";
import { rounds } from "../harness/rounds.ts";
import { until } from "../harness/until.ts";
import { startWriters } from "../harness/writers.ts";

test("kill -9 of nats-server under load: the daemon starts it again, clients come back, every promise is kept", async (t) => {
  await using daemon = await startDaemonProcess();
  await using writers = await startWriters({ url: daemon.url, scheduledEvery: 10 });
  const { acknowledged } = writers;
  const kills = rounds(3, 20);
  for (let round = 0; round < kills; round++) {
    const before = acknowledged.length;
    await until(() => acknowledged.length > before + 50, "the load to get on");
    await pause(Math.random() * 200);
    const pid = await daemon.serverPid();
    process.kill(pid, "SIGKILL");
    await until(async () => (await daemon.serverPid().catch(() => pid)) !== pid, "another server");
  }
  await until(async () => (await fetch(`${daemon.httpUrl}/healthz`)).status === 200, "the daemon to be healthy again");
  await writers.finish();
  await assertPromisesKept(daemon, acknowledged);
  assert.equal(daemon.process.exitCode, null, "the same daemon runs on");
  t.diagnostic(`${kills} kills, ${acknowledged.length} acknowledged, setbacks ${JSON.stringify([...writers.setbacks])}`);
});
