import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CodedError, type ErrorCode } from "../../daemon/errors.ts";
import { createPolicyModule, type PolicyModuleOptions } from "../../modules/policy/index.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { createObjectStore, createStateStore, startModule, type TestModule, type TestOptions } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const failsWith = (code: ErrorCode) => (error: unknown) => error instanceof CodedError && error.code === code;
const start = (options: TestOptions = {}, policy: PolicyModuleOptions = {}) => startModule(createPolicyModule(policy), options);
type Started = TestModule<AsyncDisposable>;

const candidates = [{ id: "red" }, { id: "green" }, { id: "blue" }];
const contexts = ["day", "night", "dusk"];
const best: Record<string, string> = { day: "red", night: "green", dusk: "blue" };

/** Choices of a policy that never learns, so that another has something to be better than. */
async function play(policy: Started, rounds: number, asked?: string, slot = "lamp"): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const time = contexts[round % 3] ?? "";
    const ask = { slot, context: { time }, candidates, ...(asked && { policy: asked }) };
    const { decision_id, choice } = await policy.call("policy:select", ask);
    await policy.call("policy:outcome", { decision_id, reward: choice === best[time] ? 1 : 0 });
  }
}

describe("a trained policy", () => {
  it("is trained beside the daemon, kept as a checkpoint, judged, tried and promoted, and rolled back in one command", async () => {
    await using policy = await start();
    await policy.call("policy:configure", { slot: "lamp", learn: ["kto"] });
    await play(policy, 1_000, "uniform");
    await until(() => policy.log.ofType("policy:promoted").length > 0, "the trial", 60_000);
    console.log(
      JSON.stringify(
        policy.log.ofType("policy:trained", "policy:promoted").map(({ data }) => data),
        null,
        1,
      ),
    );
  });
});
