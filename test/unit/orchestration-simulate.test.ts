import assert from "node:assert/strict";
import { test } from "node:test";
import orchestration from "../../modules/orchestration/index.ts";
import { startModule, type TestHandler } from "../harness/module-context.ts";
import { patternText } from "../harness/play-text.ts";

interface Simulation {
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly details: Record<string, unknown> };
  readonly effects: readonly ({ readonly line: number; readonly kind: string } & Record<string, unknown>)[];
  readonly judgements: unknown[];
  readonly warnings: { readonly line: number }[];
  readonly unused: string[];
}

/** Any command of another module, but for reading patterns, fails the test. */
async function simulate(strategy: string, request: object = {}, patterns: Record<string, string> = {}) {
  const rendered = ({ name }: { name: string }) => ({
    name,
    type: "orchestration",
    version: "1.0.0",
    commit: "c1",
    data: { name, orchestration_logic: { strategy: patterns[name] } },
  });
  await using module = await startModule(orchestration, { handlers: { "composition:render": rendered as TestHandler } });
  const simulation = (await module.call("orchestration:simulate", { content: patternText(strategy), ...request })) as Simulation;
  assert.deepEqual(module.log.records, [], "a simulation leaves no event");
  return simulation;
}

test("a simulation tells what a run would do, and touches nothing", async () => {
  const { result, error, effects, judgements, warnings } = await simulate(
    'RUN "list_files" WITH {directory} AS found\nThink about it.\nEMITT "a:b"\nCHOOSE method FROM ["x", {id: "y"}] AS picked\nOUTCOME picked reward: 1\nEMIT "files:seen" WITH {count: COUNT(found.files)} AFTER 30s\nCALL "agent:terminate" WITH {agent_id: "A"}\nRETURN picked.choice',
    { inputs: { directory: "docs" } },
  );
  assert.deepEqual([result, error], ["x", undefined]);
  assert.deepEqual(
    effects.map(({ line, kind }) => [line, kind]),
    [
      [1, "run"],
      [4, "choose"],
      [5, "outcome"],
      [6, "emit"],
      [7, "call"],
    ],
  );
  assert.deepEqual(effects[0], { step: "1", line: 1, kind: "run", tool: "list_files", input: { directory: "docs" } });
  assert.equal(effects[3]?.delay, 30);
  assert.deepEqual(judgements, [
    { line: 2, text: "Think about it." },
    { line: 3, text: 'EMITT "a:b"' },
  ]);
  assert.deepEqual(
    warnings.map(({ line }) => line),
    [3],
  );
});

test("agents, people and events answer at once, each as the request says or else agreeably", async () => {
  const strategy = `
SPAWN writer WITH profile: "worker", name: "writer"
SPAWN {profile: "reader", count: 2} AS readers
SEND writer "write" AWAIT REPLY WITHIN 1h AS draft
SEND readers draft AWAIT REPLY AS marks
ASK "Which?" OPTIONS ["a", "b"] AS which
ASK "Now?" AS now
AWAIT poll:closed WHERE count > 3 WITHIN 1d AS closed
AWAIT {event: "poll:voted", from: readers, within: 30s} AS votes
AWAIT writer AS end
TERMINATE readers
RETURN {draft, marks, which, now, closed, votes, end: end.state}`;
  assert.deepEqual((await simulate(strategy)).result, {
    draft: {},
    marks: [{}, {}],
    which: "a",
    now: true,
    closed: {},
    votes: [{}, {}],
    end: "completed",
  });
  const answers = {
    "SEND writer": { value: "text" },
    "SEND reader": { value: [3, 4] },
    "ASK Which?": { value: "b" },
    "7": { value: false },
    "AWAIT poll:closed": { value: { count: 4 } },
    "AWAIT poll:voted": { value: [{ for: "x" }, { for: "y" }] },
    "AWAIT writer": { value: { agent_id: "writer", state: "failed" } },
  };
  const { result, unused } = await simulate(strategy, { answers });
  assert.deepEqual(result, {
    draft: "text",
    marks: [3, 4],
    which: "b",
    now: false,
    closed: { count: 4 },
    votes: [{ for: "x" }, { for: "y" }],
    end: "failed",
  });
  assert.deepEqual(unused, []);
});

test("an answer may be an error; a line goes before a name, and answers that nothing asked for are named", async () => {
  const { result, unused } = await simulate(
    'RUN "t" AS a\nRUN "t" AS b\nAWAIT x:y WITHIN 5s\nON ERROR:\n  RETURN {a, b, code: error.code}',
    {
      answers: { "RUN t": { value: 1 }, "2": { value: 2 }, "AWAIT x:y": { error: "AWAIT_EXPIRED" }, "RUN u": { value: 3 } },
    },
  );
  assert.deepEqual(result, { a: 1, b: 2, code: "AWAIT_EXPIRED" });
  assert.deepEqual(unused, ["RUN u"]);
  await assert.rejects(simulate('RUN "t"', { answers: { "RUN t": { error: "NO_SUCH_CODE" } } }), { code: "REQUEST_INVALID" });
});

test("too few that come are the error of a wait, or with partial what came", async () => {
  const answers = { "AWAIT a:b": { value: [{ n: 1 }] } };
  const { error } = await simulate('AWAIT {event: "a:b", min: 2, within: 5s}', { answers });
  assert.deepEqual([error?.code, error?.details], ["AWAIT_EXPIRED", { came: 1, min: 2, line: 1 }]);
  const { result } = await simulate('AWAIT {event: "a:b", min: 2, within: 5s, partial: true} AS came\nRETURN came', { answers });
  assert.deepEqual(result, [{ n: 1 }]);
});

test("ON hears the events that the request holds, and those only", async () => {
  const strategy = 'ON a:b:\n  APPEND heard event.data.n\nON c:d:\n  ABORT "no"\nLOOP i FROM 1 TO 3:\n  RUN "t"\nRETURN heard';
  assert.deepEqual((await simulate(strategy, { answers: { "ON a:b": { value: [{ n: 1 }, { n: 2 }] } } })).result, [1, 2]);
  assert.equal((await simulate(strategy)).error, undefined);
});

test("patterns within it are played, too", async () => {
  const { result, effects } = await simulate('INCLUDE "other" AS x\nRETURN x', {}, { other: 'EMIT "a:b"\nRETURN 7' });
  assert.deepEqual([result, effects.map(({ kind }) => kind)], [7, ["emit"]]);
});

test("what does not end is ended, and an error ends as in a run", async () => {
  const { error, effects } = await simulate('WHILE true:\n  EMIT "a:b"');
  assert.deepEqual([error?.code, error?.details.limit, effects.length], ["RUN_LIMIT_EXCEEDED", "steps", 1000]);
  assert.equal((await simulate("REQUIRED: somebody has to think")).error?.code, "JUDGEMENT_REQUIRED");
  await assert.rejects(simulate('RUN "t"', { pattern: "also" }), { code: "REQUEST_INVALID" });
});
