import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { before, describe, it } from "node:test";
import model from "../../modules/model/index.ts";
import { startEmbeddingServer } from "../harness/embedding-server.ts";
import { failsWith } from "../harness/fails-with.ts";
import { protocols, setModelKeys } from "../harness/model-server.ts";
import { startModule } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const lengths = (text: string) => [text.length, 1, -0.5];

/** A module with one model, at a server that embeds. */
async function embedding(settings: object = {}, interfere?: (response: ServerResponse, index: number) => boolean) {
  const server = await startEmbeddingServer(lengths, interfere);
  const module = await startModule(model, { settings: { default: { ...protocols.openai_compatible(server.url), ...settings } } });
  return {
    server,
    module,
    embed: (texts: readonly string[], signal?: AbortSignal) => module.call("model:embed", { texts }, { signal }),
    async [Symbol.asyncDispose]() {
      await module[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

before(setModelKeys);

describe("model:embed", () => {
  for (const [protocol, settingsAt] of Object.entries(protocols)) {
    if (protocol === "anthropic") continue;
    it(`turns texts into vectors, in their order, by a model that speaks as ${protocol}`, async () => {
      await using server = await startEmbeddingServer(lengths);
      await using module = await startModule(model, {
        settings: { default: { ...settingsAt(server.url), price: { input: 2, output: 0 } } },
      });
      const { vectors, usage, cost, attempts } = await module.call("model:embed", { texts: ["one", "three", "seventeen"] });
      assert.deepEqual(vectors, [
        [3, 1, -0.5],
        [5, 1, -0.5],
        [9, 1, -0.5],
      ]);
      assert.ok(usage.input_tokens > 0);
      assert.deepEqual([cost, attempts], [(usage.input_tokens * 2) / 1e6, 1]);
      const told = await until(() => module.log.ofType("model:embedded")[0], "the event");
      const { texts, dimensions } = told.data as Record<string, unknown>;
      assert.deepEqual([texts, dimensions], [3, 3]);
    });
  }

  it("is refused where the provider has no embeddings, and where no model has the name", async () => {
    await using module = await startModule(model, { settings: { default: protocols.anthropic("http://127.0.0.1:9") } });
    await assert.rejects(module.call("model:embed", { texts: ["a"] }), failsWith("MODEL_REFUSED", /anthropic has no embeddings/));
    await assert.rejects(module.call("model:embed", { model: "other", texts: ["a"] }), failsWith("MODEL_NOT_CONFIGURED"));
  });

  it("asks again what passes, and not the model's fallbacks, whose vectors mean something else", async () => {
    await using passing = await embedding({}, (response, index) => index === 0 && !!response.writeHead(503).end());
    assert.equal((await passing.embed(["a"])).attempts, 2);
    await using server = await startEmbeddingServer(lengths);
    const other = { ...protocols.openai_compatible(server.url) };
    const broken = { ...protocols.openai_compatible("http://127.0.0.1:9"), attempts: 1, fallbacks: ["other"] };
    await using module = await startModule(model, { settings: { default: broken, other } });
    await assert.rejects(module.call("model:embed", { texts: ["a"] }), failsWith("MODEL_UNAVAILABLE"));
    assert.equal(server.requests.length, 0);
  });

  it("takes no longer than the model's limit, nor than the caller", async () => {
    await using hanging = await embedding({ timeout: 0.2, attempts: 1 }, () => true);
    await assert.rejects(hanging.embed(["a"]), failsWith("MODEL_UNAVAILABLE", /within 0.2 s/));
    await using slow = await embedding({}, () => true);
    const stop = new AbortController();
    const waiting = slow.embed(["a"], stop.signal);
    await until(() => slow.server.requests.length > 0, "the request");
    stop.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
  });

  for (const [what, body] of [
    ["too few vectors", { data: [{ embedding: [1] }] }],
    ["vectors that differ in length", { data: [{ embedding: [1] }, { embedding: [1, 2] }] }],
    ["empty vectors", { data: [{ embedding: [] }, { embedding: [] }] }],
    ["no numbers", { data: [{ embedding: ["x"] }, { embedding: [null] }] }],
  ] as const) {
    it(`takes ${what} for no answer`, async () => {
      await using asked = await embedding({ attempts: 1 }, (response) => {
        response.setHeader("content-type", "application/json").end(JSON.stringify(body));
        return true;
      });
      await assert.rejects(asked.embed(["a", "b"]), failsWith("MODEL_UNAVAILABLE"));
    });
  }

  it("leaves a place alone that failed several times in a row", async () => {
    await using asked = await embedding({ attempts: 1 }, (response) => !!response.writeHead(500).end());
    for (let count = 0; count < 6; count++) await assert.rejects(asked.embed(["a"]), failsWith("MODEL_UNAVAILABLE"));
    assert.equal(asked.server.requests.length, 5);
  });

  it("bounds what it takes, and sends whole characters only", async () => {
    await using asked = await embedding();
    for (const texts of [[], [""], ["x".repeat(32_769)], Array.from({ length: 65 }, String)]) {
      await assert.rejects(asked.embed(texts), failsWith("REQUEST_INVALID"));
    }
    await asked.embed(["half 😀".slice(0, -1)]);
    assert.deepEqual(asked.server.requests.at(-1), ["half �"]);
  });
});
