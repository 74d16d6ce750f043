import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connectTo } from "../../daemon/nats/connection.ts";
import { paysForEach, probeSync } from "../../daemon/nats/sync-probe.ts";
import { startTestServer } from "../harness/nats-server.ts";

it("takes the times that a server was measured to have with and without syncing for what they are", () => {
  assert.equal(paysForEach(11.9, 2.9), true);
  assert.equal(paysForEach(1.9, 2.8), false);
});

it("measures both ways of publishing and leaves no stream behind", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "reprise-test-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await using server = await startTestServer(directory);
  await using connection = await connectTo(server);
  const manager = await jetstreamManager(connection.nats);
  const { singles, batch } = await probeSync(jetstream(connection.nats), manager, "PROBE");
  assert.ok(singles > 0 && Number.isFinite(singles), String(singles));
  assert.ok(batch > 0 && Number.isFinite(batch), String(batch));
  assert.deepEqual(await manager.streams.names().next(), []);
});
