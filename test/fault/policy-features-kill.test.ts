import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startDaemonProcess } from "../harness/daemon-process.ts";
import { meaningBy, startEmbeddingServer } from "../harness/embedding-server.ts";
import { temporaryFolder } from "../harness/git.ts";
import { rounds } from "../harness/rounds.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";
import { connectForEver } from "../harness/writers.ts";

const slot = "helper";
const candidates = [{ id: "mechanic" }, { id: "baker" }];

interface Features {
  readonly version: string;
  readonly text?: { readonly embedding: string };
}

test("kill -9 right after a slot chose its features: they are kept, and what its texts mean is found again", async (t) => {
  const cwd = await temporaryFolder(t);
  await using server = await startEmbeddingServer(meaningBy([["car"], ["bread"]]));
  const models = `models:\n  meaning: { provider: openai_compatible, model: any, base_url: "${server.url}/v1" }\n`;
  await writeFile(join(cwd, "reprise.yaml"), models);
  await using daemon = await startDaemonProcess({ cwd });
  const client = await connectForEver(daemon.url);
  t.after(() => client.close());
  const ask = <Reply>(command: string, input: object) =>
    until(
      async () => {
        const reply = await client.request(command, JSON.stringify(input), { timeout: 5_000 }).catch(() => undefined);
        const body = reply?.json<Reply & { error?: unknown }>();
        return body?.error === undefined && body;
      },
      command,
      60_000,
    );
  const select = () => ask<{ decision_id: string }>("policy:select", { slot, context: { task: "mend my car" }, candidates });

  const kills = rounds(2, 20);
  for (let round = 0; round < kills; round++) {
    const features = { context: 2 ** (5 + (round % 6)), text: { embedding: "meaning", dimensions: 4 } };
    const { features: chosen } = await ask<{ features: Features }>("policy:configure", { slot, features });
    await daemon.kill("SIGKILL");
    await daemon.restart();
    const { slots } = await ask<{ slots: { features: Features }[] }>("policy:list", { slot });
    assert.deepEqual(slots[0]?.features, chosen);
    const { decision_id } = await select();
    const events = await readStoredEvents(daemon);
    const selected = events.find(({ type, data }) => type === "policy:selected" && data.decision_id === decision_id)?.data;
    assert.equal(selected?.feature_spec, chosen.version);
    const { vectors = {} } = (selected?.embeddings ?? {}) as { vectors?: object };
    assert.equal(Object.keys(vectors).length, 1);
    const told = events.filter(({ type }) => type === "policy:configured").map(({ data }) => (data.features as Features).version);
    assert.equal(told.at(-1), chosen.version);
  }
});
