import assert from "node:assert/strict";
import { it } from "node:test";
import type { Effect } from "../../modules/orchestration/interpreter/effects.ts";
import { spentBy } from "../../modules/orchestration/spent.ts";

const reply = { usage: { input_tokens: 30, output_tokens: 2, cached_tokens: 0 }, cost: 0.5 };
const called = (command: string) => ({ kind: "call", command, input: {} }) satisfies Effect;
const emitted = (event: string) => ({ kind: "emit", event, data: {} }) satisfies Effect;

it("a run pays for what it asks of models, whether for an answer or for vectors, and for no other command", () => {
  for (const command of ["model:generate", "model:embed"]) {
    assert.deepEqual(spentBy(called(command), reply), { tokens: 32, cost: 0.5 });
    assert.deepEqual(spentBy(emitted(command), { result: reply }), { tokens: 32, cost: 0.5 });
  }
  assert.equal(spentBy(called("event:query"), reply), undefined);
  assert.equal(spentBy(emitted("test:said"), reply), undefined);
});
