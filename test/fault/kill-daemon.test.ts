import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { assertPromisesKept } from "../harness/promises.ts";
import { rounds } from "../harness/rounds.ts";
import { until } from "../harness/until.ts";
import { startWriters } from "../harness/writers.ts";

test("kill -9 of the daemon under load loses nothing acknowledged, stores nothing twice, fires every schedule once", async (t) => {
  await using daemon = await startDaemonProcess();
  await using writers = await startWriters({ url: daemon.url, scheduledEvery: 10 });
  const { acknowledged } = writers;
  const kills = rounds(4, 50);
  for (let round = 0; round < kills; round++) {
    const before = acknowledged.length;
    await until(() => acknowledged.length > before + 50, "the load to get on");
    await pause(Math.random() * 200); // at any moment, so that in the soak many are met
    assert.equal(await daemon.kill("SIGKILL"), "SIGKILL");
    await daemon.restart();
  }
  await writers.finish();
  await assertPromisesKept(daemon, acknowledged);
  t.diagnostic(`${kills} kills, ${acknowledged.length} acknowledged, setbacks ${JSON.stringify([...writers.setbacks])}`);
});

test("a daemon that is killed while it starts leaves nothing that hinders the next", async () => {
  await using daemon = await startDaemonProcess();
  await using writers = await startWriters({ url: daemon.url, scheduledEvery: 10 });
  await until(() => writers.acknowledged.length > 50, "the load to get on");
  const kills = rounds(4, 30);
  for (let round = 0; round < kills; round++) {
    await daemon.kill("SIGKILL");
    daemon.spawnAgain();
    await pause((round / kills) * 1_000);
  }
  await daemon.kill("SIGKILL");
  await daemon.restart();
  await writers.finish();
  await assertPromisesKept(daemon, writers.acknowledged);
});
