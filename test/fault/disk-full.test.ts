import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { assertPromisesKept } from "../harness/promises.ts";
import { mountSmallDisk } from "../harness/small-disk.ts";
import { until } from "../harness/until.ts";
import { startWriters } from "../harness/writers.ts";

test("a full disk: emits are refused as retryable, nothing acknowledged is lost, and with room it works again by itself", async (t) => {
  const disk = mountSmallDisk(t, 64);
  if (disk === undefined) return t.skip("mounting a file system takes rights that this process lacks");
  await using stack = new AsyncDisposableStack();
  stack.defer(() => disk.unmount());
  const daemon = stack.use(await startDaemonProcess({ data: join(disk.folder, "data") }));
  const writers = stack.use(await startWriters({ url: daemon.url, scheduledEvery: 10, timeout: 8_000 }));
  const { acknowledged, setbacks } = writers;
  await until(() => acknowledged.length > 50, "the load to get on");

  disk.fill(32_768); // for a few events
  const refused = () => (setbacks.get("EVENT_OUTCOME_UNKNOWN") ?? 0) + (setbacks.get("EVENT_LOG_UNAVAILABLE") ?? 0) > 0;
  await until(refused, "a refusal", 60_000);
  const health = await fetch(`${daemon.httpUrl}/healthz`);
  assert.equal(health.status, 503);
  assert.match(await health.text(), /no space left/);

  disk.empty();
  const before = acknowledged.length;
  await until(() => acknowledged.length > before + 50, "the load to go on", 60_000);
  await writers.finish();
  assert.equal((await fetch(`${daemon.httpUrl}/healthz`)).status, 200);
  await assertPromisesKept(daemon, acknowledged);
  assert.deepEqual(
    [...setbacks.keys()].filter((code) => !["EVENT_OUTCOME_UNKNOWN", "EVENT_LOG_UNAVAILABLE", "no reply"].includes(code)),
    [],
  );
  t.diagnostic(`${acknowledged.length} acknowledged, setbacks ${JSON.stringify([...setbacks])}`);
});
