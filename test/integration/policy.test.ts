import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import { createPolicyModule, type PolicyModuleOptions } from "../../modules/policy/index.ts";
import { failsWith } from "../harness/fails-with.ts";
import { temporaryFolder } from "../harness/git.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { createStateStore, startModule, type TestOptions } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

const start = (options: TestOptions = {}, policy: PolicyModuleOptions = {}) => startModule(createPolicyModule(policy), options);

/** A repeatable source of numbers in [0, 1). */
function seeded(seed: number) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}

const candidates = [{ id: "red" }, { id: "green" }, { id: "blue" }];

const rewards = (log: MemoryEventLog) => log.ofType("policy:outcome_recorded").map(({ data }) => (data as { reward: number }).reward);

interface Selected {
  decision_id: string;
  choice: string;
  probability: number;
  scores: Record<string, number>;
  policy: string;
  version: string;
}

describe("policy:select", () => {
  it("makes one decision for a request that is repeated at once, together or in turn", async () => {
    await using policy = await start();
    const ask = (id: string, slot = "lamp") => policy.call<Selected>("policy:select", { slot, candidates }, { meta: { id } });
    const [first, second] = await Promise.all([ask("run/1"), ask("run/1")]);
    assert.deepEqual([second, await ask("run/1")], [first, first]);
    const others = await Promise.all([ask("run/2"), ask("run/1", "another slot")]);
    assert.equal(new Set([first, ...others].map(({ decision_id }) => decision_id)).size, 3);
    assert.equal(policy.log.ofType("policy:selected").length, 3);
  });

  it("chooses anew where the log refused the choice", async () => {
    await using policy = await start();
    const append = policy.log.append.bind(policy.log);
    const ask = () => policy.call<Selected>("policy:select", { slot: "lamp", candidates }, { meta: { id: "run/1" } });
    policy.log.append = () => {
      throw new CodedError("EVENT_LOG_UNAVAILABLE", "full");
    };
    await Promise.all([ask(), ask()].map((asked) => assert.rejects(asked, failsWith("EVENT_LOG_UNAVAILABLE"))));
    policy.log.append = append;
    await ask();
    assert.equal(policy.log.ofType("policy:selected").length, 1);
  });

  it("soon takes the best for each context", async () => {
    await using policy = await start({}, { random: seeded(1) });
    const best: Record<string, string> = { day: "red", night: "blue" };
    const right = { early: 0, late: 0 };
    for (let round = 0; round < 400; round++) {
      const time = round % 2 === 0 ? "day" : "night";
      const selected = await policy.call<Selected>("policy:select", { slot: "lamp", context: { time }, candidates });
      if (round < 100 && selected.choice === best[time]) right.early++;
      if (round >= 300 && selected.choice === best[time]) right.late++;
      await policy.call("policy:outcome", { decision_id: selected.decision_id, reward: selected.choice === best[time] ? 1 : 0 });
    }
    assert.ok(right.late >= 95, `only ${right.late} of the last 100 were right`);
    assert.ok(right.early < right.late);
  });

  it("leans on coarser contexts for one that it has never seen", async () => {
    await using policy = await start({}, { random: seeded(2) });
    for (let round = 0; round < 60; round++) {
      const { decision_id, choice } = await policy.call<Selected>("policy:select", {
        slot: "s",
        context: { kind: "text", size: round % 3 },
        candidates,
      });
      await policy.call("policy:outcome", { decision_id, reward: choice === "green" ? 1 : 0 });
    }
    const { scores } = await policy.call<Selected>("policy:select", { slot: "s", context: { kind: "text", size: 99 }, candidates });
    assert.ok((scores.green ?? 0) > 0.5 && (scores.red ?? 1) < 0.5);
  });

  it("logs exactly the probability with which it chooses", async () => {
    const log = new MemoryEventLog();
    await using policy = await start({ log }, { random: seeded(3) });
    for (const { id } of [...candidates, ...candidates]) {
      const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates: [{ id }] });
      await policy.call("policy:outcome", { decision_id, reward: id === "green" ? 0.6 : 0.5 });
    }
    const rounds = 4_000;
    const counts: Record<string, number> = {};
    const logged: Record<string, number> = {};
    for (let round = 0; round < rounds; round++) {
      const { choice, probability } = await policy.call<Selected>("policy:select", { slot: "s", candidates, explore: 0.3 });
      counts[choice] = (counts[choice] ?? 0) + 1;
      logged[choice] = probability;
    }
    assert.ok(Math.abs(Object.values(logged).reduce((sum, probability) => sum + probability, 0) - 1) < 1e-9);
    for (const { id } of candidates) {
      const expected = logged[id] ?? 0;
      assert.ok(expected >= 0.1 - 1e-12, "a third of what is explored");
      const deviation = Math.sqrt((expected * (1 - expected)) / rounds);
      assert.ok(Math.abs((counts[id] ?? 0) / rounds - expected) < 4 * deviation, `${id}: ${counts[id]} of ${rounds}, odds ${expected}`);
    }
    const event = log.ofType("policy:selected").at(-1)?.data as Selected & Record<string, unknown>;
    assert.equal(event.probability, logged[event.choice]);
    const { policy: name, deployment, context, candidates: asked, feature_spec, by, assigned } = event;
    assert.deepEqual(
      { name, deployment, context, asked, feature_spec, by, assigned },
      { name: "thompson", deployment: "thompson", context: {}, asked: candidates, feature_spec: "1", by: "client:test", assigned: 1 },
    );
  });

  it("answers a repeated request as before, also after a restart, and another question under its id anew", async () => {
    const log = new MemoryEventLog();
    const as = { meta: { id: "RUN/7" } };
    const ask = { slot: "s", candidates, policy: "uniform" };
    let first: Selected;
    {
      await using policy = await start({ log });
      first = await policy.call<Selected>("policy:select", ask, as);
      await policy.call("policy:stats", {});
      assert.deepEqual(await policy.call("policy:select", ask, as), first);
    }
    await using policy = await start({ log });
    assert.deepEqual(await policy.call("policy:select", ask, as), first);
    assert.equal(log.ofType("policy:selected").length, 1);
    for (const [another, how] of [
      [{ ...ask, slot: "t" }, as],
      [{ ...ask, context: { time: "noon" } }, as],
      [{ ...ask, candidates: candidates.slice(1) }, as],
      [ask, { ...as, caller: { kind: "agent", id: "A" } as const }],
    ] as const) {
      const { decision_id } = await policy.call<Selected>("policy:select", another, how);
      assert.notEqual(decision_id, first.decision_id);
      assert.equal((await policy.call<Selected>("policy:select", another, how)).decision_id, decision_id);
    }
    const measuredAnew = candidates.map(({ id }) => ({ id, features: { age: 1 } }));
    assert.deepEqual(await policy.call("policy:select", { ...ask, candidates: measuredAnew }, as), first);
  });

  it("chooses with equal odds under uniform", async () => {
    await using policy = await start();
    const selected = await policy.call<Selected>("policy:select", { slot: "s", candidates, policy: "uniform" });
    assert.equal(selected.probability, 1 / 3);
    assert.equal(selected.policy, "uniform");
  });

  it("refuses no candidates, one twice, what is no field of one, too deep features, nested contexts and unknown policies", async () => {
    await using policy = await start();
    let deep: object = {};
    for (let level = 0; level < 32; level++) deep = { deep };
    for (const wrong of [
      { candidates: [] },
      { candidates: [{ id: "a" }, { id: "a" }] },
      { candidates: [{ id: "a", size: 5 }] },
      { candidates: [{ id: "a", features: deep }] },
      { candidates, context: { a: { b: 1 } } },
    ]) {
      await assert.rejects(policy.call("policy:select", { slot: "s", ...wrong }), failsWith("REQUEST_INVALID"));
    }
    await assert.rejects(policy.call("policy:select", { slot: "s", candidates, policy: "oracle" }), failsWith("POLICY_UNKNOWN"));
  });

  it("takes whole prompts as context, and refuses what is longer", async () => {
    await using policy = await start();
    const prompt = "which of these is right ".repeat(341);
    assert.ok(prompt.length > 8_000);
    await policy.call("policy:select", { slot: "s", candidates, context: { prompt } });
    const inAll = Object.fromEntries(["a", "b", "c", "d", "e"].map((key) => [key, prompt]));
    for (const context of [{ prompt: prompt.padEnd(8_193, "?") }, inAll]) {
      await assert.rejects(policy.call("policy:select", { slot: "s", candidates, context }), failsWith("REQUEST_INVALID"));
    }
  });
});

describe("policy:outcome", () => {
  it("joins exactly once, also when two daemons are told at once", async () => {
    const log = new MemoryEventLog();
    await using one = await start({ log });
    await using other = await start({ log });
    const { decision_id } = await one.call<Selected>("policy:select", { slot: "s", candidates });
    const outcome = { decision_id, reward: 1 };
    await other.call("policy:select", { slot: "other", candidates }); // by now it knows of the first
    const answers = await Promise.all([one, other].map((policy) => policy.call<{ joined: boolean }>("policy:outcome", outcome)));
    assert.deepEqual(answers.map(({ joined }) => joined).sort(), [false, true]);
    assert.equal(log.ofType("policy:outcome_recorded").length, 1);
  });

  it("joins exactly once, also when it comes several times at once", async () => {
    const log = new MemoryEventLog();
    await using policy = await start({ log });
    const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates });
    const outcome = () => policy.call<{ joined: boolean }>("policy:outcome", { decision_id, reward: 1 });
    const answers = await Promise.all([outcome(), outcome(), outcome()]);
    assert.deepEqual(answers.map(({ joined }) => joined).sort(), [false, false, true]);
    assert.deepEqual(await outcome(), { joined: false });
    assert.equal(log.ofType("policy:outcome_recorded").length, 1);
    const { slots } = await policy.call("policy:stats", { slot: "s" });
    assert.equal(slots[0].outcomes, 1);
  });

  it("counts success as 1 and failure as 0", async () => {
    await using policy = await start();
    for (const success of [true, false]) {
      const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates: [{ id: "only" }] });
      await policy.call("policy:outcome", { decision_id, success });
    }
    const { slots } = await policy.call("policy:stats", {});
    assert.deepEqual(slots, [{ slot: "s", selections: 2, outcomes: 2, candidates: [{ id: "only", outcomes: 2, mean_reward: 0.5 }] }]);
  });

  it("refuses an unknown decision, no outcome at all, and rewards that are not finite", async () => {
    await using policy = await start();
    await assert.rejects(policy.call("policy:outcome", { decision_id: "none", reward: 1 }), failsWith("DECISION_UNKNOWN"));
    const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates });
    for (const reward of [Number.NaN, Number.POSITIVE_INFINITY, "1"]) {
      await assert.rejects(policy.call("policy:outcome", { decision_id, reward }), failsWith("REQUEST_INVALID"));
    }
    await assert.rejects(policy.call("policy:outcome", { decision_id }), failsWith("REQUEST_INVALID"));
    assert.deepEqual(await policy.call("policy:outcome", { decision_id, reward: 1 }), { joined: true });
  });

  it("comes too late for a selection that is no longer remembered", async () => {
    await using policy = await start({}, { remembered: 2 });
    const select = () => policy.call<Selected>("policy:select", { slot: "s", candidates });
    const [first, second] = [await select(), await select(), await select()];
    await assert.rejects(policy.call("policy:outcome", { decision_id: first?.decision_id, reward: 1 }), failsWith("DECISION_UNKNOWN"));
    assert.deepEqual(await policy.call("policy:outcome", { decision_id: second?.decision_id, reward: 1 }), { joined: true });
  });
});

describe("who gives an outcome", () => {
  const agent = (id: string) => ({ caller: { kind: "agent", id } as const });

  it("is whoever asked for the selection, or a module of the daemon", async () => {
    await using policy = await start();
    const select = async () => (await policy.call<Selected>("policy:select", { slot: "s", candidates }, agent("A"))).decision_id;
    const [first, second] = [await select(), await select()];
    const claimed = { caller: { kind: "agent", id: "A", isClaimed: true } as const };
    for (const other of [agent("B"), claimed, { caller: { kind: "client", id: "A" } as const }, {}]) {
      await assert.rejects(policy.call("policy:outcome", { decision_id: first, reward: 1 }, other), failsWith("OUTCOME_FOREIGN"));
      const outcome_from = { event: "run", id: "R" };
      await assert.rejects(policy.call("policy:link", { decision_id: first, outcome_from }, other), failsWith("OUTCOME_FOREIGN"));
    }
    assert.deepEqual(await policy.call("policy:outcome", { decision_id: first, reward: 1 }, agent("A")), { joined: true });
    const module = { caller: { kind: "module", id: "judge" } as const };
    assert.deepEqual(await policy.call("policy:outcome", { decision_id: second, reward: 1 }, module), { joined: true });
  });

  it("is whoever a module chose for, which alone may choose for others and in its own slots", async () => {
    await using policy = await start();
    const ask = { slot: "experiment/x", candidates, on_behalf_of: { kind: "agent", id: "A" } };
    const module = (id: string) => ({ caller: { kind: "module", id } as const });
    for (const other of [agent("A"), {}, module("orchestration")])
      await assert.rejects(policy.call("policy:select", ask, other), failsWith("SLOT_RESERVED"));
    await assert.rejects(policy.call("policy:select", { ...ask, slot: "s" }, agent("B")), failsWith("REQUEST_INVALID"));
    const { decision_id } = await policy.call<Selected>("policy:select", ask, module("experiment"));
    await assert.rejects(policy.call("policy:outcome", { decision_id, reward: 1 }, agent("B")), failsWith("OUTCOME_FOREIGN"));
    assert.deepEqual(await policy.call("policy:outcome", { decision_id, reward: 1 }, agent("A")), { joined: true });
  });

  it("cannot weigh more than 1", async () => {
    await using policy = await start();
    for (const [reward, clipped] of [
      [1e300, 1],
      [-7, -1],
      [0.25, 0.25],
    ]) {
      const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates });
      await policy.call("policy:outcome", { decision_id, reward });
      assert.equal(rewards(policy.log).at(-1), clipped);
    }
  });
});

const lastRecorded = ({ log }: { log: MemoryEventLog }): unknown => log.ofType("policy:outcome_recorded").at(-1)?.data ?? {};

describe("what an outcome is worth", () => {
  it("is defined by the slot, or by the selection itself", async () => {
    await using policy = await start();
    const worth = async (selection: object) => {
      const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates, ...selection });
      await policy.call("policy:outcome", { decision_id, success: true, cost: 2, latency_ms: 500 });
      return rewards(policy.log).at(-1);
    };
    assert.equal(await worth({}), 1);
    await policy.call("policy:configure", { slot: "s", reward: { kind: "linear", cost: 0.1, latency: 0.2 } });
    assert.ok(Math.abs(((await worth({})) ?? 0) - 0.7) < 1e-12);
    assert.ok(Math.abs(((await worth({ reward: { kind: "linear", success: 0.5, cost: 0.2 } })) ?? 0) - 0.1) < 1e-12);
    assert.equal(await worth({ slot: "t" }), 1);
  });

  it("is told where it was clipped, or graded without what was not measured, in the answer and in the log", async () => {
    await using policy = await start();
    await policy.call("policy:configure", { slot: "dear", reward: { kind: "linear", cost: 0.1, latency: 0.2 } });
    const settle = async (slot: string, outcome: object) => {
      const { decision_id } = await policy.call<Selected>("policy:select", { slot, candidates });
      const answer = await policy.call<object>("policy:outcome", { decision_id, ...outcome });
      const { reward, clipped, missing } = lastRecorded(policy) as Record<string, unknown>;
      return [answer, { reward, clipped, missing }];
    };
    const quiet = { clipped: undefined, missing: undefined };
    assert.deepEqual(await settle("s", { reward: 7 }), [
      { joined: true, clipped: true },
      { reward: 1, clipped: true, missing: undefined },
    ]);
    assert.deepEqual(await settle("s", { reward: -0.5 }), [{ joined: true }, { reward: -0.5, ...quiet }]);
    assert.deepEqual(await settle("dear", { success: true, latency_ms: 1_000 }), [
      { joined: true, missing: ["cost"] },
      { reward: 0.8, clipped: undefined, missing: ["cost"] },
    ]);
    assert.deepEqual(await settle("dear", { success: true, latency_ms: 0, cost: 0 }), [{ joined: true }, { reward: 1, ...quiet }]);
  });
});

describe("an outcome that nobody has to give", () => {
  const lastOutcome = async (policy: { log: MemoryEventLog }, count: number) => {
    const outcomes = () => policy.log.ofType("policy:outcome_recorded");
    await until(() => outcomes().length >= count, "the derived outcome");
    const { reward, success, latency_ms, source } = (outcomes()[count - 1]?.data ?? {}) as Record<string, unknown>;
    return { reward, success, latency_ms, source };
  };

  it("follows from the end of the run that asked, and is its result's score", async () => {
    await using policy = await start();
    const ask = { slot: "s", candidates, outcome_from: { event: "run" } };
    for (const run of ["R1", "R2"]) await policy.call("policy:select", ask, { meta: { run } });
    policy.publish("orchestration:completed", { run_id: "R1", result: { score: 0.4 }, duration_ms: 12 });
    assert.deepEqual(await lastOutcome(policy, 1), { reward: 0.4, success: true, latency_ms: 12, source: "orchestration:completed" });
    policy.publish("orchestration:failed", { run_id: "R2", duration_ms: 3 });
    assert.deepEqual(await lastOutcome(policy, 2), { reward: 0, success: false, latency_ms: 3, source: "orchestration:failed" });
  });

  it("says that a run's score was beyond what a reward can be", async () => {
    await using policy = await start();
    await policy.call("policy:select", { slot: "s", candidates, outcome_from: { event: "run", id: "R1" } });
    policy.publish("orchestration:completed", { run_id: "R1", result: { score: 7 }, duration_ms: 12 });
    assert.equal((await lastOutcome(policy, 1)).reward, 1);
    assert.equal((lastRecorded(policy) as { clipped?: boolean }).clipped, true);
  });

  it("counts the run's calls of tools where the reward prefers some", async () => {
    const called = (name: string) => ({ type: "tool:completed", data: { name } });
    const pages = [
      { events: [called("search"), called("search"), called("other")], cursor: "3" },
      { events: [{ ...called("browser"), type: "tool:failed" }] },
    ];
    await using policy = await start({
      events: { query: async ({ cursor }: { cursor?: string }) => pages[cursor === undefined ? 0 : 1] } as never,
    });
    const reward = { kind: "preference", success: 2, tools: { search: { weight: 1, most: 4 }, browser: { weight: -1, most: 2 } } };
    await policy.call("policy:select", { slot: "s", candidates, outcome_from: { event: "run", id: "R1" }, reward });
    policy.publish("orchestration:completed", { run_id: "R1", duration_ms: 12 });
    assert.equal((await lastOutcome(policy, 1)).reward, (2 + 0.5 + 0.5) / 4);
    assert.deepEqual((lastRecorded(policy) as { tools?: object }).tools, { search: 2, other: 1, browser: 1 });
  });

  it("follows from the run that was linked to it afterwards", async () => {
    await using policy = await start({ events: { query: async () => ({ events: [] }) } });
    const { decision_id } = await policy.call<Selected>("policy:select", { slot: "pattern", candidates });
    assert.deepEqual(await policy.call("policy:link", { decision_id, outcome_from: { event: "run", id: "R9" } }), { linked: true });
    policy.publish("orchestration:completed", { run_id: "R9", duration_ms: 1 });
    assert.equal((await lastOutcome(policy, 1)).reward, 1);
    assert.deepEqual(await policy.call("policy:link", { decision_id, outcome_from: { event: "run", id: "R9" } }), { linked: false });
  });

  it("follows from the run's next call of the chosen tool, and from that call only", async () => {
    await using policy = await start();
    const ask = { slot: "tool", candidates: [{ id: "hammer" }], outcome_from: { event: "tool" } };
    await policy.call("policy:select", ask, { meta: { run: "R1" } });
    policy.publish("tool:completed", { name: "saw", duration_ms: 1, cost: 0 }, { run: "R1" });
    policy.publish("tool:completed", { name: "hammer", duration_ms: 2, cost: 0 }, { run: "R2" });
    policy.publish("tool:failed", { name: "hammer", duration_ms: 3, code: "TOOL_FAILED", message: "" }, { run: "R1" });
    policy.publish("tool:completed", { name: "hammer", duration_ms: 4, cost: 0 }, { run: "R1" });
    assert.deepEqual(await lastOutcome(policy, 1), { reward: 0, success: false, latency_ms: 3, source: "tool:failed" });
    await policy.call("policy:select", ask, { meta: { run: "R1" } });
    policy.publish("tool:completed", { name: "hammer", duration_ms: 5, cost: 0 }, { run: "R1" });
    assert.equal((await lastOutcome(policy, 2)).latency_ms, 5);
  });

  it("has to be named where no run asks, since nothing would ever tell it", async () => {
    await using policy = await start();
    const select = (event: string, run?: string) =>
      policy.call("policy:select", { slot: "s", candidates, outcome_from: { event } }, { meta: { ...(run && { run }) } });
    for (const [event, run] of [["run"], ["tool"], ["approval"], ["approval", "R1"]] as const)
      await assert.rejects(
        select(event, run),
        (error) => failsWith("REQUEST_INVALID")(error) && /outcome_from\.id: needed/.test(String(error)),
      );
    assert.equal(policy.log.ofType("policy:selected").length, 0);
  });

  it("follows from an approval that was decided before it was linked", async () => {
    const decided: Record<string, unknown> = { P1: "approved", P2: "denied", P3: "expired" };
    const info = ({ id }: { id: string }) => {
      if (decided[id] === undefined) throw new CodedError("APPROVAL_NOT_FOUND", "there is none");
      return { id, state: decided[id] };
    };
    await using policy = await start({ handlers: { "approval:info": info } });
    for (const id of ["P1", "P2", "P3", "P4"]) {
      const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates });
      assert.deepEqual(await policy.call("policy:link", { decision_id, outcome_from: { event: "approval", id } }), { linked: true });
    }
    assert.deepEqual(rewards(policy.log), [1, 0]);
    policy.publish("approval:decided", { id: "P4", state: "approved" });
    assert.equal((await lastOutcome(policy, 3)).reward, 1);
  });

  it("follows from an approval", async () => {
    await using policy = await start();
    await policy.call("policy:select", { slot: "s", candidates, outcome_from: { event: "approval", id: "P1" } });
    policy.publish("approval:decided", { id: "P1", state: "denied" });
    assert.deepEqual(await lastOutcome(policy, 1), { reward: 0, success: false, latency_ms: undefined, source: "approval:decided" });
  });
});

describe("what a policy learned", () => {
  it("survives a restart, with and without its snapshot, and is counted once", async () => {
    const log = new MemoryEventLog();
    const state = createStateStore();
    let pending: string;
    let before: unknown;
    {
      await using policy = await start({ log, state });
      for (let round = 0; round < 20; round++) {
        const { decision_id, choice } = await policy.call<Selected>("policy:select", {
          slot: `s${round % 2}`,
          context: { round },
          candidates,
        });
        await policy.call("policy:outcome", { decision_id, reward: choice.length });
      }
      pending = (await policy.call<Selected>("policy:select", { slot: "s0", candidates })).decision_id;
      before = await policy.call("policy:stats", {});
    }
    for (const store of [state, createStateStore()]) {
      await using policy = await start({ log, state: store });
      assert.deepEqual(await policy.call("policy:stats", {}), before);
    }
    {
      await using policy = await start({ log, state });
      assert.deepEqual(await policy.call("policy:outcome", { decision_id: pending, reward: 1 }), { joined: true });
    }
    await using policy = await start({ log, state });
    assert.deepEqual(await policy.call("policy:outcome", { decision_id: pending, reward: 1 }), { joined: false });
    const { slots } = await policy.call("policy:stats", { slot: "s0" });
    assert.equal(slots[0].outcomes, 11);
  });

  it("is rebuilt from the log when the snapshot is of another one", async () => {
    const state = createStateStore();
    {
      await using policy = await start({ log: new MemoryEventLog("first"), state });
      const { decision_id } = await policy.call<Selected>("policy:select", { slot: "s", candidates });
      await policy.call("policy:outcome", { decision_id, reward: 1 });
    }
    await using policy = await start({ log: new MemoryEventLog("second"), state });
    await policy.call("policy:select", { slot: "s", candidates });
    const { slots } = await policy.call("policy:stats", { slot: "s" });
    assert.deepEqual([slots[0].selections, slots[0].outcomes], [1, 0]);
  });

  it("is forgotten where there are too many slots: of those with the fewest outcomes", async (t) => {
    const folder = await temporaryFolder(t);
    const log = new MemoryEventLog();
    const stores = { log, state: createStateStore() };
    type Policy = Awaited<ReturnType<typeof start>>;
    const select = (policy: Policy, slot: string) => policy.call<Selected>("policy:select", { slot, candidates, policy: "thompson" });
    const play = async (policy: Policy, slot: string) => {
      const { decision_id, version } = await select(policy, slot);
      await policy.call("policy:outcome", { decision_id, reward: 1 });
      return version;
    };
    const known = async (policy: Policy) =>
      (await policy.call("policy:stats", {})).slots.map(({ slot, outcomes }: { slot: string; outcomes: number }) => `${slot} ${outcomes}`);
    let fresh: string;
    {
      await using policy = await start({ ...stores, database: join(folder, "one.sqlite") }, { mostSlots: 2 });
      await play(policy, "a");
      await play(policy, "a");
      fresh = await play(policy, "b");
      const { decision_id: waiting } = await select(policy, "b");
      for (let junk = 0; junk < 5; junk++) await select(policy, `junk-${junk}`);
      assert.deepEqual(await known(policy), ["a 2", "b 1"]);
      await play(policy, "c");
      assert.deepEqual(await known(policy), ["a 2", "c 1"], "of as many outcomes, the one that was used last");
      assert.deepEqual(await policy.call("policy:outcome", { decision_id: waiting, reward: 0 }), { joined: true });
      await play(policy, "b");
    }
    for (const database of ["one.sqlite", "other.sqlite"]) {
      await using policy = await start({ ...stores, database: join(folder, database) }, { mostSlots: 2 });
      assert.deepEqual(await known(policy), ["a 2", "b 2"]);
      assert.match((await select(policy, "b")).version, /^2-/);
      assert.equal((await select(policy, "c")).version, fresh);
    }
  });
});
