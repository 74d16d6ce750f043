import assert from "node:assert/strict";
import { it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import experiment from "../../modules/experiment/index.ts";
import { startModule, type TestHandler } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

it("an experiment whose log cannot be compared says that there is not enough data, and the others say what they know", async () => {
  const compare = ({ slot }: { slot: string }) => {
    if (slot === "experiment/spoilt") throw new CodedError("REQUEST_INVALID", "one of them was chosen with odds of 0.1");
    return { difference: 0.4, interval: [0.1, 0.7], verdict: "left" };
  };
  const handlers = { "policy:configure": () => ({}), "policy:compare": compare, "policy:stats": () => ({ slots: [] }) };
  await using module = await startModule(experiment, { handlers });
  for (const name of ["spoilt", "sound"]) await module.call("experiment:start", { name, variants: ["one", "other"] });
  const { experiments } = await module.call<{ experiments: { name: string; verdict: string }[] }>("experiment:status", {});
  assert.deepEqual(
    experiments.map(({ name, verdict }) => [name, verdict]),
    [
      ["sound", "one"],
      ["spoilt", "not enough data"],
    ],
  );
});

it("a run that is held has not ended: its outcome is told when it goes on and ends", async () => {
  const outcomes: unknown[] = [];
  const states = ["paused", "running", "completed"];
  const handlers = {
    "policy:configure": () => ({}),
    "policy:compare": () => ({ difference: 0, interval: [-2, 2], verdict: "not enough data" }),
    "policy:stats": () => ({ slots: [] }),
    "policy:select": () => ({ choice: "one", decision_id: "d1", probability: 0.5 }),
    "policy:outcome": ((outcome: object) => outcomes.push(outcome)) as TestHandler,
    "orchestration:explain": () => ({ problems: [] }),
    "orchestration:start": () => ({ run_id: "run1" }),
    "orchestration:status": () => ({ state: states.shift(), usage: { milliseconds: 5 } }),
  };
  await using module = await startModule(experiment, { handlers });
  await module.call("experiment:start", { name: "held", variants: ["one", "other"], runs: 1 });
  await until(() => outcomes.length > 0, "the outcome");
  assert.deepEqual([outcomes, states], [[{ decision_id: "d1", success: true, latency_ms: 5 }], []]);
});
