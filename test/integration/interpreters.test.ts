import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { type ModelAnswer, type ModelRequest, type ModelServer, promptOf, protocols, startModelServer } from "../harness/model-server.ts";

type Answerer = (request: ModelRequest, index: number) => ModelAnswer | Promise<ModelAnswer>;

let daemon: TestDaemon;
let server: ModelServer;
let answer: Answerer;
/** Requests of the present test. */
let asked: ModelRequest[];

before(async () => {
  server = await startModelServer((request) => {
    asked.push(request);
    return answer(request, asked.length - 1);
  });
  const model = { ...protocols.openai_compatible(server.url), price: { input: 1, output: 2 } };
  daemon = await startTestDaemon({ config: { sections: { models: { default: model } } } });
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const patternOf = (name: string, strategy: string, fields = "") =>
  `name: ${name}\ntype: orchestration\nversion: 1.0.0\n${fields}orchestration_logic:\n  strategy: |\n${strategy.replaceAll(/^/gm, "    ")}\n`;

let patterns = 0;

interface Status {
  readonly run_id: string;
  readonly state: string;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly details: Record<string, unknown> };
  readonly usage: { readonly steps: number; readonly tokens: number; readonly cost: number };
  readonly unverified?: readonly { readonly claim: string; readonly target: string }[];
}

/** Plays a strategy to its end. */
async function play(
  interpreter: "scripted" | "hybrid" | "llm",
  strategy: string,
  options: { fields?: string; request?: object; answer?: Answerer } = {},
): Promise<Status & { name: string }> {
  const name = `pattern-${++patterns}`;
  asked = [];
  answer = options.answer ?? (() => assert.fail("nobody was to be asked"));
  await daemon.ask("composition:create", { type: "orchestration", name, content: patternOf(name, strategy, options.fields) });
  const { run_id } = await daemon.ask<{ run_id: string }>("orchestration:start", { pattern: name, interpreter, ...options.request });
  return { ...(await daemon.ask<Status>("orchestration:status", { run_id, wait: 30 })), name };
}

/** What a run emitted, in order. */
async function eventsOf(run: string, types = ["test:*"]): Promise<{ type: string; data: unknown }[]> {
  const { events } = await daemon.ask<{ events: { type: string; data: unknown }[] }>("event:query", { types, run });
  return events.map(({ type, data }) => ({ type, data }));
}

const judged = (fields: object): ModelAnswer => ({
  content: JSON.stringify({ reason: "It is plain.", decision: "so be it", confidence: 0.8, ...fields }),
});
const acted = (...calls: [name: string, input: object][]): ModelAnswer => ({
  toolCalls: calls.map(([name, input]) => ({ name, arguments: JSON.stringify(input) })),
});

describe("the hybrid interpreter", () => {
  it("plays statements itself, and asks for conditions in prose, guards and judgement points", async () => {
    const run = await play(
      "hybrid",
      `STATE mood = "grim"
IF the mood of the room is good:
  EMIT "test:party"
ELSE:
  EMIT "test:quiet"
Whenever somebody is sad:
  EMIT "test:comfort"
Choose a song that fits, and tell everybody.
RETURN {song, mood}`,
      {
        answer: (request) => {
          const prompt = promptOf(request);
          if (/Decide whether the condition/.test(prompt)) return judged({ holds: false });
          if (/the block below/.test(prompt)) return judged({ holds: true, set: [], emit: [] });
          return judged({ set: [{ name: "song", value: '"Blue"' }], emit: [{ event: "test:song", data: '{"title":"Blue"}' }] });
        },
      },
    );
    assert.deepEqual([run.state, run.result], ["completed", { song: "Blue", mood: "grim" }], JSON.stringify(run.error));
    assert.deepEqual(await eventsOf(run.run_id), [
      { type: "test:quiet", data: null },
      { type: "test:comfort", data: null },
      { type: "test:song", data: { title: "Blue" } },
    ]);
    assert.equal(asked.length, 3);
    assert.ok(run.usage.tokens > 0 && run.usage.cost > 0);
    const { decisions } = await daemon.ask<{ decisions: Record<string, unknown>[] }>("composition:decisions", { pattern: run.name });
    assert.deepEqual(
      decisions.map(({ decision, reason, confidence, run: by }) => [decision, reason, confidence, by]),
      [1, 2, 3].map(() => ["so be it", "It is plain.", 0.8, run.run_id]),
    );
  });
});

describe("the llm interpreter", () => {
  it("acts through typed tools and ends with what it returns", async () => {
    const run = await play("llm", 'EMIT "test:first" WITH {n: 1}\nConsider what to say.\nEMIT "test:second"\nRETURN "done"', {
      answer: (_, index) =>
        [
          acted(["emit", { event: "test:first", data: { n: 1 } }]),
          acted(["emit", { event: "test:second" }], ["return", { value: "done" }]),
        ][index] as ModelAnswer,
    });
    assert.deepEqual([run.state, run.result], ["completed", "done"], JSON.stringify(run.error));
    assert.deepEqual(await eventsOf(run.run_id), [
      { type: "test:first", data: { n: 1 } },
      { type: "test:second", data: null },
    ]);
    assert.match(promptOf(asked[1] as ModelRequest), /Its result:\n<<[\w-]{12}\n.*emitted/);
  });
});
