import assert from "node:assert/strict";
import { it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import experiment from "../../modules/experiment/index.ts";
import { startModule } from "../harness/module-context.ts";

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
