import assert from "node:assert/strict";
import { it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import experiment from "../../modules/experiment/index.ts";
import { createStateStore, startModule, type TestHandler } from "../harness/module-context.ts";
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
    "orchestration:explain": () => ({ problems: [], uncovered: [], unknown: [] }),
    "orchestration:start": () => ({ run_id: "run1" }),
    "orchestration:status": () => ({ state: states.shift(), usage: { milliseconds: 5 } }),
  };
  await using module = await startModule(experiment, { handlers });
  await module.call("experiment:start", { name: "held", variants: ["one", "other"], runs: 1 });
  await until(() => outcomes.length > 0, "the outcome");
  assert.deepEqual([outcomes, states], [[{ decision_id: "d1", success: true, latency_ms: 5 }], []]);
});

it("keeps what was known when an experiment ended, whatever is forgotten of its slot later", async () => {
  const state = createStateStore();
  const started = (difference: number, verdict: string, slots: unknown[]) =>
    startModule(experiment, {
      state,
      handlers: {
        "policy:configure": () => ({}),
        "policy:compare": () => ({ difference, interval: [difference - 0.3, difference + 0.3], verdict }),
        "policy:stats": () => ({ slots }),
      },
    });
  const known = ["one", "other"].map((id) => ({ id, outcomes: 500, mean_reward: 0.5 }));
  let ended: unknown;
  {
    await using module = await started(0.4, "left", [{ candidates: known }]);
    for (const name of ["running", "over"]) await module.call("experiment:start", { name, variants: ["one", "other"] });
    ended = await module.call("experiment:stop", { name: "over" });
    const { name, verdict, variants } = ended as { name: string; verdict: string; variants: unknown };
    assert.deepEqual([name, verdict, variants], ["over", "one", known.map(({ id, ...rest }) => ({ variant: id, ...rest }))]);
    const { data } = module.log.ofType("experiment:concluded")[0] as { data: object };
    assert.deepEqual(ended, { ...(ended as object), ...data });
  }
  // As an earlier version kept it.
  const { evidence: _, ...earlier } = (await state.get<Record<string, unknown>>("experiment.over"))?.value ?? {};
  await state.put("experiment.earlier", { ...earlier, name: "earlier" });

  await using module = await started(0, "not enough data", []);
  const of = async (name: string) => (await module.call("experiment:status", { name })).experiments[0];
  assert.deepEqual(await of("over"), ended);
  assert.deepEqual(await module.call("experiment:stop", { name: "over" }), ended);
  for (const name of ["running", "earlier"]) assert.equal((await of(name)).verdict, "not enough data");
});
