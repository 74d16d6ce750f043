import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { projectFolder } from "../../daemon/project.ts";
import { askerOn } from "../harness/ask.ts";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const content = JSON.stringify({
  name: "charging",
  type: "orchestration",
  version: "1.0.0",
  orchestration_logic: { strategy: 'CALL "till:charge" AS paid\nRETURN paid' },
});

interface Pending {
  readonly id: string;
  readonly hash: string;
  readonly run_id: string;
  readonly action: Record<string, unknown>;
}

test("kill -9 in the middle of a step that must not be done twice: a human says what happened, and the run goes on with it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "reprise-till-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const program = join(projectFolder, "test", "harness", "charging-daemon.ts");
  await using daemon = await startDaemonProcess({ program, environment: { TILL: folder } });
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const { ask } = askerOn(client);
  const charges = async () => (await readFile(join(folder, "charges"), "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
  await ask("composition:create", { type: "orchestration", name: "charging", content });
  const start = async () => (await ask<{ run_id: string }>("orchestration:start", { pattern: "charging" })).run_id;
  const [confirmed, repeated] = [await start(), await start()];
  await until(async () => (await charges()).length === 2, "both charges to be under way");
  await daemon.kill("SIGKILL");
  await writeFile(join(folder, "open"), "");
  await daemon.restart();

  const pending = async (run_id: string) =>
    until(async () => {
      const { approvals } = await ask<{ approvals: Pending[] }>("approval:list", { state: "pending" });
      return approvals.find((one) => one.run_id === run_id);
    }, "the question");
  const one = await pending(confirmed);
  assert.equal((one.action.effect as { command: string }).command, "till:charge");
  const edit = { ...one.action, result: { receipt: "seen in the books" } };
  await ask("approval:decide", { id: one.id, hash: one.hash, decision: "approve", by: "Ada", edit });
  const other = await pending(repeated);
  await ask("approval:decide", { id: other.id, hash: other.hash, decision: "deny", by: "Ada", reason: "the books say no" });
  const resultOf = async (run_id: string) => (await ask<{ result: unknown }>("orchestration:status", { run_id, wait: 30 })).result;
  assert.deepEqual(await resultOf(confirmed), { receipt: "seen in the books" });
  assert.deepEqual(await resultOf(repeated), { receipt: "of the till" });
  assert.deepEqual((await charges()).toSorted(), [`${confirmed}/1`, `${repeated}/1`, `${repeated}/1`].toSorted());
});
