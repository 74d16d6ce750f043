import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Mortal, startMortal } from "../harness/mortal.ts";
import { readStoredEvents } from "../harness/stored-events.ts";
import { until } from "../harness/until.ts";

const runs = 5;
let mortal: Mortal;
before(async () => {
  mortal = await startMortal("learning:\n  learn: []\n");
  for (const name of ["one", "other"]) {
    const content = `name: ${name}\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: |\n    RETURN {score: 0.5}\n`;
    await mortal.ask("composition:create", { type: "orchestration", name, content });
  }
});
after(() => mortal?.[Symbol.asyncDispose]());

/** What the log has of an experiment: the runs that were started, by name, and the selections. */
async function logged(name: string) {
  const events = await readStoredEvents(mortal.daemon);
  const started = events.filter(({ type, data }) => type === "orchestration:started" && String(data.name).startsWith(`${name} `));
  const outcomes = events.filter(({ type, data }) => type === "policy:outcome_recorded" && data.slot === `experiment/${name}`);
  return { runs: started.map(({ data }) => data.name), outcomes: outcomes.length };
}

describe("a kill while an experiment plays", () => {
  for (const point of ["before event orchestration:started", "after event orchestration:started"]) {
    it(`plays no run twice and leaves none out: ${point}`, async () => {
      const name = point.slice(0, point.indexOf(" "));
      await mortal.dieAt(`${point} ${name} 3`, () => mortal.begin("experiment:start", { name, variants: ["one", "other"], runs }));
      await until(async () => {
        const { experiments } = await mortal.ask<{ experiments: { state: string }[] }>("experiment:status", { name });
        return experiments[0]?.state !== "running";
      }, "its end");
      const expected = Array.from({ length: runs }, (_, index) => `${name} ${index + 1}`);
      assert.deepEqual(await logged(name), { runs: expected, outcomes: runs });
    });
  }
});
