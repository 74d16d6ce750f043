import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { seededRandom } from "../../modules/policy/chance.ts";
import { createPolicyModule } from "../../modules/policy/index.ts";
import { startModule, type TestModule } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const slot = "errand";
const tools = ["hammer", "saw"] as const;
const candidates = [...tools, "hand in"].map((id) => ({ id }));

type Started = TestModule<AsyncDisposable>;
interface Checkpoint {
  readonly sha256: string;
  readonly outcomes: number;
  readonly report: Record<string, number>;
}
interface Listed {
  readonly serving: string;
  readonly contender?: { readonly policy: string; readonly role: string };
  readonly checkpoints: readonly Checkpoint[];
}

/** Reprise as one that draws the same numbers each time. */
const start = (seed = 1) =>
  startModule(createPolicyModule({ random: seededRandom(seed) }), { settings: { baseline: "uniform", learn: [] } });

/**
 * Up to three steps by commands alone: each costs 0.1; the right tool does the work; to hand in ends the errand, and pays 1 if the
 * work is done. To hand in at once loses least of what can be done without knowing how.
 * @returns what it came to
 */
async function runErrand(policy: Started, number: number): Promise<number> {
  const wanted = tools[number % 2] as string;
  let [done, sum] = [false, 0];
  for (let step = 0; step < 3; step++) {
    const episode = { id: `errand ${number}`, step, last: step === 2 };
    const { decision_id, choice } = await policy.call("policy:select", { slot, context: { wanted, done, step }, candidates, episode });
    const over = choice === "hand in";
    const reward = (over && done ? 1 : 0) - 0.1;
    sum += reward;
    await policy.call("policy:outcome", { decision_id, reward, last: over });
    if (over) break;
    done ||= choice === wanted;
  }
  return sum;
}

async function runErrands(policy: Started, from: number, through: number): Promise<number> {
  let sum = 0;
  for (let number = from; number < through; number++) sum += await runErrand(policy, number);
  return sum / (through - from);
}

const listed = async (policy: Started): Promise<Listed> =>
  (await policy.call<{ slots: Listed[] }>("policy:list", { slot })).slots[0] as Listed;

describe("reinforce, by commands alone", () => {
  it("learns from the episodes of uniform, is promoted on what they come to, and earns that; the same log gives the same bits", async () => {
    await using policy = await start();
    const before = await runErrands(policy, 0, 600);
    assert.ok(before < 0.1, `uniform earns ${before}`);
    const train = () => policy.call<Checkpoint>("policy:train", { slot, policy: "reinforce" });
    const trained = await train();
    assert.equal((await train()).sha256, trained.sha256);
    assert.ok((trained.report.updates as number) > 100 && (trained.report.trajectories as number) > 400);
    assert.ok(Number.isFinite(trained.report.regret));
    await assert.rejects(policy.call("policy:promote", { slot, policy: "reinforce" }), /not enough data/);

    await runErrands(policy, 600, 1_200);
    const evaluation = await policy.call("policy:evaluate", { slot, policy: "reinforce" });
    const { dr, serving, gain, decision } = evaluation;
    assert.deepEqual(decision.reason, "better");
    assert.ok(evaluation.outcomes >= 500 && evaluation.outcomes > 1.5 * evaluation.trajectories);
    assert.ok(dr.interval[0] < 0.78 && 0.78 < dr.interval[1] + 0.05, `worth 0.78: ${dr.value} in ${dr.interval}`);
    assert.ok(serving.value < 0.1 && gain.interval[0] > 0.3);

    const { contender } = await policy.call<Listed>("policy:promote", { slot, policy: "reinforce" });
    assert.deepEqual(contender?.policy, `reinforce@${trained.sha256.slice(0, 12)}`);
    for (let from = 1_200; from < 6_000 && (await listed(policy)).serving === "uniform"; from += 200) {
      await runErrands(policy, from, from + 200);
    }
    await until(async () => (await listed(policy)).serving === contender?.policy, "the promotion");
    const after = await runErrands(policy, 10_000, 10_200);
    assert.ok(after > 0.7, `reinforce earns ${after}`);
  });

  it("is not promoted over one that earns as much", async () => {
    await using policy = await start(2);
    await runErrands(policy, 0, 1_000);
    await assert.rejects(policy.call("policy:promote", { slot, policy: "best_so_far" }), /not promoted/);
  });
});
