import assert from "node:assert/strict";
import { test } from "node:test";
import orchestration from "../../modules/orchestration/index.ts";
import { walk } from "../../modules/orchestration/language/ast.ts";
import { patternOf } from "../../modules/orchestration/pattern.ts";
import { startModule, type TestHandler } from "../harness/module-context.ts";

const strategy = `STATE level = 1
IF the readings look fine:
  EMIT "test:fine"
ELIF somebody is near AND level > 0:
  EMIT "test:near"
Whenever somebody has to be told:
  EMIT "test:told"
Set the level.
Think of something new each time.`;

let count = 0;
const decided = (text: string, about: string, answer: object, confidence = 0.8) => ({
  id: `d${++count}`,
  decision: "so",
  confidence,
  context: { judgement: { line: 1, text, about }, answer },
});
const times = <Item>(number: number, make: () => Item): Item[] => Array.from({ length: number }, make);

const decisions = [
  ...times(6, () => decided("the readings look fine", "condition", { holds: false })),
  ...times(9, () =>
    decided("Whenever somebody has to be told:", "guard", { holds: true, emit: [{ event: "test:call", data: { to: "all" } }] }),
  ),
  decided("Whenever somebody has to be told:", "guard", { holds: false }),
  ...times(5, () => decided("Set the level.", "point", { set: { level: 3 } }, 0.5)),
  ...times(4, () => decided("Think of something new each time.", "point", { set: { idea: ++count } })),
  { id: "other", decision: "made by hand" },
];

async function started(handlers: Record<string, TestHandler> = {}) {
  const data = { name: "plant", type: "orchestration", orchestration_logic: { strategy } };
  return startModule(orchestration, {
    handlers: {
      "composition:get": () => ({ name: "plant", version: "1.2.0", commit: "c1", data }),
      "composition:decisions": ({ cursor }: { cursor?: string }) =>
        cursor === undefined ? { decisions: decisions.slice(0, 10), cursor: "10" } : { decisions: decisions.slice(10) },
      ...handlers,
    },
  });
}

test("points that were decided the same way often enough become statements of a proposed fork, with their evidence", async () => {
  await using module = await started({ "composition:fork": () => assert.fail("it never applies by itself") });
  const { proposals, undecided, fork, read } = await module.call("orchestration:crystallize", { pattern: "plant" });
  assert.equal(read, decisions.length - 1);
  assert.deepEqual(
    proposals.map(({ line, decisions: all, agreeing, ids }: { line: number; decisions: number; agreeing: number; ids: string[] }) => [
      line,
      all,
      agreeing,
      ids.length,
    ]),
    [
      [2, 6, 6, 6],
      [6, 10, 9, 9],
      [8, 5, 5, 5],
    ],
  );
  assert.equal(proposals[2].mean_confidence, 0.5);
  assert.deepEqual(
    undecided.map(({ line, agreeing }: { line: number; agreeing: number }) => [line, agreeing]),
    [[9, 1]],
  );
  assert.deepEqual([fork.parent, fork.name], ["plant", "plant_crystallized"]);
  const text: string = fork.modifications["orchestration_logic.strategy"];
  assert.equal(
    text,
    `STATE level = 1
# the readings look fine (decided so 6 of 6 times)
IF false:
  EMIT "test:fine"
ELIF somebody is near AND level > 0:
  EMIT "test:near"
# Whenever somebody has to be told: (decided so 9 of 10 times)
EMIT "test:call" WITH {"to":"all"}
IF true:
  EMIT "test:told"
# Set the level. (decided so 5 of 5 times)
STATE level = 3
Think of something new each time.`,
  );
  const yaml = `name: plant\norchestration_logic:\n  strategy: |\n${text.replaceAll(/^/gm, "    ")}\n`;
  const left = [...walk(patternOf(yaml).strategy.statements)].filter(({ kind }) => kind === "judgement");
  assert.equal(left.length, 1, "what was decided is no judgement point any more");
});

test("without enough evidence nothing is proposed", async () => {
  await using module = await started();
  const { proposals, undecided, fork } = await module.call("orchestration:crystallize", { pattern: "plant", min_evidence: 11 });
  assert.deepEqual([proposals.length, undecided.length, fork], [0, 4, undefined]);
  const strict = await module.call("orchestration:crystallize", { pattern: "plant", min_agreement: 1 });
  assert.deepEqual(
    strict.proposals.map(({ line }: { line: number }) => line),
    [2, 8],
  );
});
