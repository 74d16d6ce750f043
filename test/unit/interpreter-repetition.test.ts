import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import type { Effect } from "../../modules/orchestration/interpreter/effects.ts";
import { watchRepetition } from "../../modules/orchestration/interpreter/repetition.ts";

const run = (tool: string): Effect => ({ kind: "run", tool, input: {} });
const emit = (event: string): Effect => ({ kind: "emit", event, data: {} });

/** In which round each of these acts is, as it begins. */
function roundsOf(acts: readonly Effect[], resultOf: (index: number) => unknown): number[] {
  const repetition = watchRepetition();
  return acts.map((act, index) => {
    const rounds = repetition.roundsWith(act);
    repetition.done(act, resultOf(index));
    return rounds;
  });
}

describe("repetition", () => {
  it("of one act counts whatever it comes to", () => {
    assert.deepEqual(
      roundsOf([run("a"), run("a"), run("a"), run("b"), run("a")], (index) => ({ result: index })),
      [1, 2, 3, 1, 2],
    );
  });

  it("of a round of up to four acts counts while each comes to the same, but for how long it took", () => {
    for (const length of [2, 3, 4]) {
      const acts = Array.from({ length: 3 * length + 1 }, (_, index) => run(`t${index % length}`));
      const result = (index: number) => ({ result: index % length, duration_ms: index });
      assert.equal(roundsOf(acts, result).at(-1), 4, `${length} acts`);
      assert.equal(roundsOf(acts, (index) => ({ result: index })).at(-1), 2, "results that differ are progress");
    }
  });

  it("of five acts is not seen", () => {
    const acts = Array.from({ length: 20 }, (_, index) => run(`t${index % 5}`));
    assert.equal(Math.max(...roundsOf(acts, () => ({ result: 1 }))), 1);
  });

  it("counts events by what they are, and failures by their code", () => {
    const events = Array.from({ length: 6 }, (_, index) => emit(`a:${["b", "c"][index % 2]}`));
    assert.equal(roundsOf(events, (index) => ({ status: "emitted", id: index })).at(-1), 3);
    const failing = Array.from({ length: 6 }, (_, index) => run(["a", "b"][index % 2] as string));
    assert.equal(roundsOf(failing, (index) => new CodedError("TOOL_FAILED", `attempt ${index}`)).at(-1), 3);
  });
});
