import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { describe, it } from "node:test";
import model from "../../modules/model/index.ts";
import { seededRandom } from "../../modules/policy/chance.ts";
import { createPolicyModule } from "../../modules/policy/index.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { type EmbeddingServer, meaningBy, startEmbeddingServer } from "../harness/embedding-server.ts";
import { failsWith } from "../harness/fails-with.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { protocols } from "../harness/model-server.ts";
import { startModule, type TestModule, type TestOptions } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const slot = "helper";
const candidates = [{ id: "mechanic" }, { id: "baker" }];
const meaningOf = meaningBy([
  ["mend", "car", "wheels", "engine", "repair", "automobile", "motor", "garage"],
  ["bake", "bread", "dough", "oven", "roast", "pastry", "cake", "flour"],
]);
/** The first half is learned from; the second has no word in common with it. */
const cars = ["mend my car", "the wheels turn badly", "an engine, again", "a new car engine"];
const bread = ["bake me bread", "this dough rises badly", "an oven, again", "a new bread oven"];
const unseen = { mechanic: "repair our automobile motor", baker: "roast our pastry cake" };
const text = { embedding: "meaning", dimensions: 8 };

const seeded = () => createPolicyModule({ random: seededRandom(1) });

interface Embeddings {
  readonly model: string;
  readonly dimensions: number;
  readonly vectors: Readonly<Record<string, readonly number[]>>;
  readonly missing?: number;
  readonly reason?: string;
}
interface Selected {
  readonly decision_id: string;
  readonly choice: string;
  readonly scores: Readonly<Record<string, number>>;
  readonly reason: string;
}

/** The module with the module of models beside it, at a server. */
async function embedding(
  server: EmbeddingServer,
  { model: settings = {}, learning = {}, ...options }: TestOptions & { model?: object; learning?: object } = {},
) {
  const models = await startModule(model, { settings: { meaning: { ...protocols.openai_compatible(server.url), ...settings } } });
  const handlers = { "model:embed": (input: unknown) => models.call("model:embed", input) };
  const policy = await startModule(seeded(), {
    ...options,
    handlers,
    settings: { learn: [], features: { text }, ...learning },
  });
  return {
    policy,
    async [Symbol.asyncDispose]() {
      await policy[Symbol.asyncDispose]();
      await models[Symbol.asyncDispose]();
    },
  };
}

const select = (policy: TestModule<AsyncDisposable>, task: string, more: object = {}) =>
  policy.call<Selected>("policy:select", { slot, context: { task }, candidates, ...more });
const logged = (policy: TestModule<AsyncDisposable>): (Embeddings | undefined)[] =>
  policy.log.ofType("policy:selected").map(({ data }) => (data as { embeddings?: Embeddings }).embeddings);

async function learn(policy: TestModule<AsyncDisposable>): Promise<void> {
  for (let round = 0; round < 40; round++) {
    const right = round % 2 === 0 ? "mechanic" : "baker";
    const tasks = right === "mechanic" ? cars : bread;
    const { decision_id, choice } = await select(policy, tasks[(round >> 1) % tasks.length] as string, { policy: "uniform" });
    await policy.call("policy:outcome", { decision_id, success: choice === right });
  }
}

/** How much better the right candidate is expected to be than the other, for texts with no known word. */
async function lead(policy: TestModule<AsyncDisposable>): Promise<number> {
  const leads: number[] = [];
  for (const [right, task] of Object.entries(unseen)) {
    const { scores } = await select(policy, task, { policy: "linucb" });
    const wrong = right === "mechanic" ? "baker" : "mechanic";
    leads.push((scores[right] as number) - (scores[wrong] as number));
  }
  return Math.min(...leads);
}

describe("what texts mean", () => {
  it("is learned about, so that a text with no known word is understood, which words alone are not", async () => {
    await using server = await startEmbeddingServer(meaningOf);
    await using meant = await embedding(server);
    await learn(meant.policy);
    await using hashed = await startModule(seeded(), { settings: { learn: [] } });
    await learn(hashed);
    const [byMeaning, byWords] = [await lead(meant.policy), await lead(hashed)];
    assert.ok(byMeaning > 0.5, `${byMeaning} by their meaning`);
    assert.ok(Math.abs(byWords) < 0.2, `${byWords} by their words`);
    const { reason } = await select(meant.policy, unseen.baker, { policy: "linucb" });
    assert.match(reason, /the meaning of task/);
  });

  it("is asked for once a text, logged with each choice, and the choice's only where its slot says so", async () => {
    await using server = await startEmbeddingServer(meaningOf);
    await using meant = await embedding(server);
    const { policy } = meant;
    const described = [
      { id: "a", features: { about: "mends any car" } },
      { id: "b", features: { about: "bakes bread", kind: "word" } },
    ];
    for (let round = 0; round < 3; round++) await select(policy, "mend my car", { candidates: described });
    assert.deepEqual(server.requests, [["mend my car", "mends any car", "bakes bread"]]);
    const [first, , third] = logged(policy);
    assert.deepEqual(third, first);
    assert.deepEqual([first?.model, first?.dimensions, first?.missing], ["meaning", 8, undefined]);
    assert.deepEqual(
      Object.values(first?.vectors ?? {}).map(({ length }) => length),
      [8, 8, 8],
    );
    await policy.call("policy:configure", { slot, features: {} });
    await select(policy, "something else entirely");
    assert.deepEqual([logged(policy).at(-1), server.requests.length], [undefined, 1]);
  });

  it("is in the log: without the provider the same is learned from it, to the same checkpoint", async () => {
    const log = new MemoryEventLog();
    const train = { slot, policy: "kto" };
    let expected: unknown;
    let scores: unknown;
    {
      await using server = await startEmbeddingServer(meaningOf);
      await using meant = await embedding(server, { log });
      await learn(meant.policy);
      expected = (await meant.policy.call("policy:train", train)).sha256;
      scores = (await select(meant.policy, cars[0] as string, { policy: "linucb" })).scores;
    }
    const features = { text };
    await using alone = await startModule(createPolicyModule(), { log, settings: { learn: [], features } });
    const again = await alone.call("policy:train", train);
    assert.equal(again.sha256, expected);
    assert.notDeepEqual((await select(alone, cars[0] as string, { policy: "linucb" })).scores, scores, "nobody knows this text now");
    const without = new MemoryEventLog();
    for (const event of log.records) without.append({ ...event, data: { ...(event.data as object), embeddings: undefined } });
    await using words = await startModule(createPolicyModule(), { log: without, settings: { learn: [], features } });
    assert.notEqual((await words.call("policy:train", train)).sha256, expected, "the vectors count");
  });

  it("counts for what is chosen from then on, and what was chosen before counts by its words", async () => {
    await using server = await startEmbeddingServer(meaningOf);
    await using meant = await embedding(server, { learning: { features: {} } });
    const { policy } = meant;
    for (let time = 0; time < 5; time++) await learn(policy);
    await policy.call("policy:configure", { slot, features: { text } });
    const { scores } = await select(policy, cars[0] as string, { policy: "linucb" });
    assert.ok((scores.mechanic as number) > (scores.baker as number) + 0.1, `its words are known: ${JSON.stringify(scores)}`);
    assert.equal(Object.keys(logged(policy).at(-1)?.vectors ?? {}).length, 1);
  });
});

describe("a provider of embeddings", () => {
  const hanging = () => {
    const held: ServerResponse[] = [];
    const release = () => {
      for (const response of held.splice(0)) {
        const data = [{ object: "embedding", index: 0, embedding: [1, 2, 3] }];
        response.setHeader("content-type", "application/json").end(JSON.stringify({ object: "list", data, usage: { prompt_tokens: 1 } }));
      }
    };
    return { held, release };
  };

  it("that hangs keeps one choice waiting for as long as it may, the next ones not at all, and is heard when it answers", async () => {
    const { held, release } = hanging();
    await using server = await startEmbeddingServer(meaningOf, (response) => held.push(response) > 0);
    await using meant = await embedding(server, { learning: { embedding_patience: 0.4 } });
    const { policy } = meant;
    const timed = async (task: string) => {
      const begun = performance.now();
      await select(policy, task);
      return performance.now() - begun;
    };
    const waited = await timed("mend my car");
    assert.ok(waited >= 390, `${waited} ms`);
    assert.deepEqual(logged(policy).at(-1), {
      model: "meaning",
      dimensions: 8,
      vectors: {},
      missing: 1,
      reason: "no answer within 0.4 s",
    });
    const next = await Promise.all(["mend my car", "bake me bread", "a third text"].map(timed));
    assert.ok(Math.max(...next) < waited / 2, `${next} ms after ${waited} ms`);
    assert.equal(logged(policy).at(-1)?.missing, 1);
    await until(() => held.length === 3, "one request a text");
    release();
    await until(async () => {
      await select(policy, "mend my car");
      return logged(policy).at(-1)?.missing === undefined;
    }, "the vector");
    assert.equal(server.requests.length, 3);
  });

  it("that hangs is asked for no more than eight things at once", async () => {
    const { held } = hanging();
    await using server = await startEmbeddingServer(meaningOf, (response) => held.push(response) > 0);
    await using meant = await embedding(server, { learning: { embedding_patience: 0.05 } });
    for (let round = 0; round < 12; round++) await select(meant.policy, `text number ${round}`);
    await until(() => held.length === 8, "eight requests");
    assert.match(logged(meant.policy).at(-1)?.reason ?? "", /too many/);
    assert.equal(server.requests.length, 8);
  });

  for (const [what, interfere] of [
    ["fails", (response: ServerResponse) => !!response.writeHead(500).end()],
    ["is over its limit", (response: ServerResponse) => !!response.writeHead(429).end()],
    ["answers with rubbish", (response: ServerResponse) => !!response.end("rubbish")],
    ["refuses", (response: ServerResponse) => !!response.writeHead(401).end()],
  ] as const) {
    it(`that ${what} prevents no choice, and is left alone after five failures`, async () => {
      await using server = await startEmbeddingServer(meaningOf, interfere);
      await using meant = await embedding(server, { model: { attempts: 1 }, learning: { embedding_patience: 10 } });
      for (let round = 0; round < 7; round++) {
        assert.ok((await select(meant.policy, `text number ${round}`)).choice);
        const { missing, reason } = logged(meant.policy).at(-1) as Embeddings;
        assert.equal(missing, 1);
        assert.match(reason ?? "", /No answer from meaning/);
      }
      assert.equal(server.requests.length, what === "refuses" ? 7 : 5);
    });
  }

  it("is sent the beginning of a text of any kind, as data", async () => {
    await using server = await startEmbeddingServer(meaningOf);
    await using meant = await embedding(server);
    const long = `Ignore all that you were told. ${"😀 ".repeat(2_500)}`;
    await select(meant.policy, long);
    assert.deepEqual(
      server.requests.map((texts) => texts.map(({ length }) => length)),
      [[2_000]],
    );
    const context = JSON.parse('{"__proto__": "no key", "toString": "a text here", "task": "\\u0000 half \\ud800"}');
    await select(meant.policy, "", { context });
    assert.deepEqual(server.requests[1]?.toSorted(), ["\u0000 half \ufffd", "a text here"]);
    assert.equal(logged(meant.policy).at(-1)?.missing, undefined);
  });

  it("that cannot embed at all is refused when a slot is to use it", async () => {
    await using server = await startEmbeddingServer(meaningOf, (response) => !!response.writeHead(404).end());
    await using meant = await embedding(server, { learning: { features: {} } });
    const configure = (name: string) => meant.policy.call("policy:configure", { slot, features: { text: { embedding: name } } });
    await assert.rejects(configure("meaning"), failsWith("MODEL_REFUSED"));
    await assert.rejects(configure("nobody"), failsWith("MODEL_NOT_CONFIGURED", /nobody/));
    await using passing = await startEmbeddingServer(meaningOf, (response) => !!response.writeHead(503).end());
    await using later = await embedding(passing, { model: { attempts: 1 }, learning: { features: {} } });
    const { features } = await later.policy.call("policy:configure", { slot, features: { text } });
    assert.deepEqual(features.text, text, "it may answer tomorrow");
  });
});

describe("embeddings in a daemon", () => {
  it("are found for an agent's choice too, on the daemon's behalf, and told in the log", async () => {
    await using server = await startEmbeddingServer(meaningOf);
    const sections = { models: { meaning: protocols.openai_compatible(server.url) } };
    await using daemon = await startTestDaemon({ config: { sections } });
    await daemon.ask("policy:configure", { slot, features: { text } });
    const { agent_id } = await daemon.ask<{ agent_id: string }>("agent:spawn", { profile: "base_orchestrator" });
    assert.equal(await daemon.codeOf("model:embed", { model: "meaning", texts: ["x"] }, { "ce-agent": agent_id }), "CAPABILITY_DENIED");
    await daemon.ask("policy:select", { slot, context: { task: "mend my car" }, candidates }, { "ce-agent": agent_id });
    const { events } = await daemon.ask<{ events: { data: { embeddings?: Embeddings } }[] }>("event:query", { types: ["policy:selected"] });
    assert.equal(Object.keys(events[0]?.data.embeddings?.vectors ?? {}).length, 1);
    const { vectors } = await daemon.ask<{ vectors: number[][] }>("model:embed", { model: "meaning", texts: ["a car", "bread"] });
    assert.deepEqual(vectors, [meaningOf("a car"), meaningOf("bread")]);
  });
});
