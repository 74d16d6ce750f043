/** Same pattern and same answers at the judgement points: the same events, whoever plays it (DESIGN §6). */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { type JournalEntry, playerOf, toolUsesOf } from "../harness/model-player.ts";
import { type ModelAnswer, type ModelRequest, type ModelServer, promptOf, protocols, startModelServer } from "../harness/model-server.ts";

type Answerer = (request: ModelRequest, index: number) => ModelAnswer;

let daemon: TestDaemon;
let server: ModelServer;
let files: string;
let answer: Answerer;
let asked = 0;

before(async () => {
  server = await startModelServer((request) => workerAnswer(request) ?? answer(request, asked++));
  daemon = await startTestDaemon({ config: { sections: { models: { default: protocols.openai_compatible(server.url) } } } });
  files = await mkdtemp(join(tmpdir(), "reprise-files-"));
  for (let count = 0; count < 4; count++) await writeFile(join(files, `text-${count}.txt`), `line ${count} of many\n`.repeat(200 + count));
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
  await rm(files, { recursive: true, force: true });
});

/** What the agents answer that a pattern spawned; undefined where it is not such an agent that asks. */
function workerAnswer(request: ModelRequest): ModelAnswer | undefined {
  const prompt = promptOf(request);
  if (!prompt.includes('"reply"')) return undefined;
  const marks = [{ criterion: "reasons", for: 7, against: 4, why: "They carry further." }];
  const vote = { proposal: "the tests", objections: [] };
  if (prompt.includes("finding a consensus")) {
    return { content: JSON.stringify({ reply: "I voted.", events: [{ event: "consensus:voted", data: JSON.stringify(vote) }] }) };
  }
  const reply = prompt.includes("You judge a debate") ? JSON.stringify({ marks }) : "Who reads the tests first knows what the code is for.";
  return { content: JSON.stringify({ reply, events: [] }) };
}

interface Played {
  readonly run_id: string;
  readonly events: { type: string; data: unknown }[];
}

async function play(pattern: string, inputs: object, interpreter: string, types: string[], answering: Answerer): Promise<Played> {
  answer = answering;
  asked = 0;
  const budget = { steps: 5000, children: 100, tokens: 100_000_000, repeats: 5000 };
  const { run_id } = await daemon.ask<{ run_id: string }>("orchestration:start", { pattern, inputs, interpreter, budget });
  const { state, error } = await daemon.ask("orchestration:status", { run_id, wait: 60 });
  assert.equal(state, "completed", `${interpreter}: ${JSON.stringify(error)}`);
  const { events } = await daemon.ask<{ events: { type: string; data: unknown }[] }>("event:query", { types, run: run_id, limit: 1000 });
  return { run_id, events: events.map(({ type, data }) => ({ type, data: withoutChance(data) })) };
}

/** A favourite among several is drawn, and so is another one in each run. */
function withoutChance(data: unknown): unknown {
  const { favourite: _, ...rest } = (data ?? {}) as { favourite?: unknown };
  return data === null ? data : rest;
}

/** The calls of tools that do what a run did. */
async function usesOf(run_id: string) {
  const entries: JournalEntry[] = [];
  for (let cursor: string | undefined = "0"; cursor !== undefined; ) {
    const page: { entries: JournalEntry[]; cursor?: string } = await daemon.ask("orchestration:journal", { run_id, limit: 1000, cursor });
    entries.push(...page.entries);
    cursor = page.cursor;
  }
  return toolUsesOf(entries);
}

const nothingToDo = () => ({
  content: JSON.stringify({ reason: "Nothing stands out.", decision: "go on", confidence: 0.7, set: [], emit: [] }),
});

const shipped: { pattern: string; events: string | string[]; inputs: () => object }[] = [
  { pattern: "tournament_basic", events: "tournament:*", inputs: () => ({ directory: files }) },
  {
    pattern: "adaptive_tournament",
    events: "tournament:*",
    inputs: () => ({
      directory: files,
      first_round: 2,
      contestants: ["gzip-1", "gzip-9"].map((id) => ({ id, arguments: { method: id } })),
    }),
  },
  { pattern: "compression_tournament", events: "compression:*", inputs: () => ({ directory: files, methods: ["gzip-6"], lambda: 0 }) },
  {
    pattern: "adaptive_pipeline",
    events: "pipeline:*",
    inputs: () => ({ directory: files, treatments: ["no-such-method"], window: 2, stop_at: 2 }),
  },
  {
    pattern: "consensus_builder",
    events: ["consensus:round_finished", "consensus:finished"],
    inputs: () => ({ question: "What do we read first?", rounds: 2 }),
  },
  { pattern: "debate", events: "debate:*", inputs: () => ({ motion: "Tests should be read before code.", rounds: 2 }) },
];

describe("the same events come from the interpreters scripted, hybrid and llm", () => {
  for (const { pattern, events, inputs } of shipped) {
    const types = [events].flat();
    it(`that play ${pattern}`, async () => {
      const nobody = () => assert.fail("the scripted interpreter asks nobody");
      const scripted = await play(pattern, inputs(), "scripted", types, nobody);
      assert.ok(scripted.events.length >= 2, "it emits too little to tell anything");
      const hybrid = await play(pattern, inputs(), "hybrid", types, nothingToDo);
      assert.ok(asked > 0, "it has no judgement point");
      assert.deepEqual(hybrid.events, scripted.events);
      const llm = await play(pattern, inputs(), "llm", types, playerOf(await usesOf(scripted.run_id)));
      assert.deepEqual(llm.events, scripted.events);
    });
  }
});

describe("a judgement that sets, emits and opens a block", () => {
  const strategy = `STATE level = 1
IF the readings look dangerous:
  EMIT "plant:alarm" WITH {level}
Whenever somebody has to be told:
  EMIT "plant:told"
Set the level to what the readings ask for, and say so.
EMIT "plant:level" WITH {level}`;
  const answers: Answerer = (request) => {
    const prompt = promptOf(request);
    const said = { reason: "The readings are high.", decision: "take care", confidence: 0.9 };
    if (prompt.includes("Decide whether the condition")) return { content: JSON.stringify({ ...said, holds: true }) };
    if (prompt.includes("the block below")) return { content: JSON.stringify({ ...said, holds: true, set: [], emit: [] }) };
    const acts = { set: [{ name: "level", value: "3" }], emit: [{ event: "plant:changed", data: '{"to":3}' }] };
    return { content: JSON.stringify({ ...said, ...acts }) };
  };

  it("comes to the same events, whether the pattern or the model carries it out", async () => {
    const content = `name: plant\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: |\n${strategy.replaceAll(/^/gm, "    ")}\n`;
    await daemon.ask("composition:create", { type: "orchestration", name: "plant", content });
    const hybrid = await play("plant", {}, "hybrid", ["plant:*"], answers);
    assert.deepEqual(hybrid.events, [
      { type: "plant:alarm", data: { level: 1 } },
      { type: "plant:told", data: null },
      { type: "plant:changed", data: { to: 3 } },
      { type: "plant:level", data: { level: 3 } },
    ]);
    const llm = await play("plant", {}, "llm", ["plant:*"], playerOf(await usesOf(hybrid.run_id)));
    assert.deepEqual(llm.events, hybrid.events);
  });
});
