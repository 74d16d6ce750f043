import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import agent from "../../modules/agent/index.ts";
import { temporaryFolder } from "../harness/git.ts";
import { MemoryEventLog } from "../harness/memory-log.ts";
import { startModule, type TestHandler, type TestOptions } from "../harness/module-context.ts";
import { until } from "../harness/until.ts";

interface Started {
  readonly input: Record<string, unknown>;
  readonly cause: Record<string, unknown>;
}

const awaiting = { step: "4", line: 3, what: "AWAIT hello:said", since: "2026-01-01T00:00:00Z" };

/** The module with a fake of the runs that it starts. */
async function start(options: TestOptions & { capabilities?: string[] } = {}) {
  const runs: Started[] = [];
  const cancelled: string[] = [];
  const module = await startModule(agent, {
    ...options,
    handlers: {
      "composition:render": (({ name }: { name: string }) => {
        if (name === "a_pattern") return { type: "orchestration", commit: "c", data: {} };
        return { type: "profile", commit: "p1", data: { capabilities: options.capabilities ?? ["*"] } };
      }) as TestHandler,
      "orchestration:start": ((input: Record<string, unknown>, { cause }: { cause: Record<string, unknown> }) => {
        runs.push({ input, cause });
        return { run_id: `run${runs.length}`, capabilities: ["emit:hello:*"] };
      }) as TestHandler,
      "orchestration:list": () => ({ runs: [] }),
      "orchestration:status": () => ({ state: "running", doing: [awaiting] }),
      "orchestration:cancel": (({ run_id }: { run_id: string }) => {
        cancelled.push(run_id);
        return { run_id, state: "cancelled" };
      }) as TestHandler,
      ...options.handlers,
    },
  });
  return { module, runs, cancelled, [Symbol.asyncDispose]: () => module[Symbol.asyncDispose]() };
}

const typesIn = (module: Awaited<ReturnType<typeof start>>["module"]) =>
  module.log.records.map(({ type }) => type).filter((type) => type.startsWith("agent:"));

test("an agent with a pattern starts a run of it, with its task among the inputs", async () => {
  await using started = await start();
  const { module, runs } = started;
  const { agent_id, run_id } = await module.call("agent:spawn", {
    profile: "base_orchestrator",
    pattern: "greet",
    task: "greet Ada",
    inputs: { name: "Ada" },
    budget: { steps: 5 },
  });
  assert.equal(run_id, "run1");
  assert.deepEqual(runs[0]?.input, {
    pattern: "greet",
    agent_id,
    inputs: { task: "greet Ada", name: "Ada" },
    budget: { steps: 5 },
    capabilities: ["*"],
  });
  assert.equal(runs[0]?.cause.agent, agent_id);
  const info = await module.call("agent:info", { agent_id });
  assert.equal(info.state, "active");
  assert.equal(info.profile_commit, "p1");
  const { step: _, ...now } = awaiting;
  assert.deepEqual(info.doing, { is: "waiting", run_id, steps: [now], messages: 0 });
  assert.deepEqual(typesIn(module), ["agent:spawned"]);
});

test("an agent may do what its profile, its parent and the request all allow, and the router is told", async () => {
  await using started = await start({ capabilities: ["composition:*", "agent:spawn"] });
  const { module } = started;
  const parent = { kind: "agent" as const, id: "P", capabilities: ["composition:get", "composition:list", "tool:*"] };
  const { agent_id } = await module.call("agent:spawn", { profile: "worker", capabilities: ["composition:get"] }, { caller: parent });
  assert.deepEqual(module.agents.get(agent_id), ["composition:get"]);
  assert.equal((await module.call("agent:info", { agent_id })).parent, "P");
});

test("an agent with a pattern is held to the pattern's capabilities too", async () => {
  await using started = await start();
  const { agent_id } = await started.module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  assert.deepEqual(started.module.agents.get(agent_id), ["emit:hello:*"]);
});

for (const [event, state] of [
  ["completed", "completed"],
  ["failed", "failed"],
  ["cancelled", "terminated"],
] as const) {
  test(`an agent whose run is ${event} is ${state}, and may do nothing any more`, async () => {
    await using started = await start();
    const { module } = started;
    const { agent_id, run_id } = await module.call("agent:spawn", { profile: "worker", pattern: "greet" });
    module.publish(`orchestration:${event}`, { agent_id, run_id, result: { done: 1 }, error: { code: "RUN_ABORTED", message: "no" } });
    await until(async () => (await module.call("agent:info", { agent_id })).state !== "active", "its end");
    assert.equal((await module.call("agent:info", { agent_id })).state, state);
    assert.equal(module.agents.has(agent_id), false);
    assert.deepEqual(typesIn(module), ["agent:spawned", `agent:${state}`]);
  });
}

test("the end of a run is told once, also when it is delivered twice", async () => {
  await using started = await start();
  const { module } = started;
  const { agent_id, run_id } = await module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  module.publish("orchestration:completed", { agent_id, run_id });
  module.publish("orchestration:completed", { agent_id, run_id });
  module.publish("orchestration:completed", { agent_id: "nobody", run_id });
  const { agent_id: other } = await module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  module.publish("orchestration:completed", { agent_id: other, run_id: "run2" });
  await until(async () => (await module.call("agent:info", { agent_id: other })).state !== "active", "the end of the other");
  assert.equal(typesIn(module).filter((type) => type === "agent:completed").length, 2);
});

test("a run that no agent plays changes no agent, and ends the agents that it spawned", async () => {
  await using started = await start();
  const { module } = started;
  const { agent_id } = await module.call("agent:spawn", { profile: "worker" }, asAgent("bare-run"));
  module.publish("orchestration:started", { run_id: "bare-run" });
  await module.call("agent:list", {}); // which has read it
  module.publish("orchestration:failed", { run_id: "bare-run", error: { code: "RUN_ABORTED", message: "no" } });
  await until(async () => (await module.call("agent:info", { agent_id })).state === "terminated", "its end");
});

test("terminate ends the children first, then the agent and its run", async () => {
  await using started = await start();
  const { module, cancelled } = started;
  const { agent_id: parent } = await module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  const as = { caller: { kind: "agent" as const, id: parent, capabilities: ["*"] } };
  const { agent_id: child } = await module.call("agent:spawn", { profile: "worker", pattern: "greet" }, as);
  assert.equal(started.runs[1]?.cause.run, "run1");
  assert.deepEqual((await module.call("agent:info", { agent_id: parent })).children, [child]);
  assert.deepEqual(await module.call("agent:terminate", { agent_id: parent }), { terminated: [child, parent] });
  assert.deepEqual(cancelled, ["run2", "run1"]);
  assert.deepEqual(await module.call("agent:terminate", { agent_id: parent }), { terminated: [] });
  assert.deepEqual(typesIn(module).slice(2), ["agent:terminated", "agent:terminated"]);
});

test("agents are known after a restart, from the log alone, and the router is told of the living ones", async () => {
  const log = new MemoryEventLog();
  const first = await start({ log });
  const { agent_id: active } = await first.module.call("agent:spawn", { profile: "worker" });
  const { agent_id: over } = await first.module.call("agent:spawn", { profile: "worker" });
  await first.module.call("agent:terminate", { agent_id: over });
  await first[Symbol.asyncDispose]();
  await using second = await start({ log });
  const { agents } = await second.module.call("agent:list", {});
  assert.deepEqual(
    agents.map(({ agent_id, state }: { agent_id: string; state: string }) => [agent_id, state]),
    [
      [over, "terminated"],
      [active, "active"],
    ],
  );
  assert.deepEqual([...second.module.agents.keys()], [active]);
  assert.deepEqual((await second.module.call("agent:list", { state: "active" })).agents.length, 1);
});

test("what an earlier start read of the log is not read again", async (t) => {
  const folder = await temporaryFolder(t);
  const log = new MemoryEventLog();
  const database = join(folder, "agent.sqlite");
  const first = await start({ log, database });
  const { agent_id } = await first.module.call("agent:spawn", { profile: "worker" });
  await until(() => first.module.state.registry.agents.get(agent_id), "the agent");
  await first.module.call("agent:spawn", { profile: "worker" });
  await first.module.call("agent:list", {}); // which has read them
  await first[Symbol.asyncDispose]();
  log.records.length = 0;
  await using second = await start({ log, database });
  assert.equal((await second.module.call("agent:list", {})).agents.length, 2);
  assert.equal((await second.module.call("agent:info", { agent_id })).profile_commit, "p1");
});

test("what was read of another log does not exist in this one", async (t) => {
  const database = join(await temporaryFolder(t), "agent.sqlite");
  const first = await start({ log: new MemoryEventLog("one"), database });
  await first.module.call("agent:spawn", { profile: "worker" });
  await first.module.call("agent:list", {}); // which has read it
  await first[Symbol.asyncDispose]();
  await using second = await start({ log: new MemoryEventLog("two"), database });
  assert.deepEqual((await second.module.call("agent:list", {})).agents, []);
});

test("an agent whose run cannot start has failed, with the reason", async () => {
  await using started = await start({
    handlers: {
      "orchestration:start": () => {
        throw new CodedError("PATTERN_INVALID", "no");
      },
    },
  });
  const { module } = started;
  await assert.rejects(module.call("agent:spawn", { profile: "worker", pattern: "bad" }), { code: "PATTERN_INVALID" });
  await until(() => typesIn(module).length === 2, "the failure");
  const [{ state, error }] = (await module.call("agent:list", {})).agents;
  assert.deepEqual([state, error.code, module.agents.size], ["failed", "PATTERN_INVALID", 0]);
  assert.deepEqual(typesIn(module), ["agent:spawned", "agent:failed"]);
});

test("a pattern is no profile, and an unknown agent is AGENT_NOT_FOUND", async () => {
  await using started = await start();
  await assert.rejects(started.module.call("agent:spawn", { profile: "a_pattern" }), { code: "COMPOSITION_INVALID" });
  await assert.rejects(started.module.call("agent:info", { agent_id: "nobody" }), { code: "AGENT_NOT_FOUND" });
  await assert.rejects(started.module.call("agent:terminate", { agent_id: "nobody" }), { code: "AGENT_NOT_FOUND" });
});

test("an agent that cannot be told of is none, and begins no run", async () => {
  await using started = await start();
  const { module, runs } = started;
  const append = module.log.append.bind(module.log);
  module.log.append = (event) => {
    if (event.type === "agent:spawned") throw new CodedError("EVENT_LOG_UNAVAILABLE", "full");
    return append(event);
  };
  await assert.rejects(module.call("agent:spawn", { profile: "worker", pattern: "greet" }), { code: "EVENT_LOG_UNAVAILABLE" });
  assert.deepEqual([runs, (await module.call("agent:list", {})).agents, module.agents.size], [[], [], 0]);
});

test("an agent whose daemon died before its run began begins it after the restart", async () => {
  const log = new MemoryEventLog();
  const never = () => new Promise(() => {});
  const first = await start({ log, handlers: { "orchestration:start": never } });
  void first.module.call("agent:spawn", { profile: "worker", pattern: "greet", inputs: { name: "Ada" } });
  await until(() => log.records.length > 0, "the agent");
  await first[Symbol.asyncDispose]();
  let asked = 0;
  const list = () => {
    if (asked++ === 0) throw new CodedError("SHUTTING_DOWN", "starting");
    return { runs: [] };
  };
  await using second = await start({ log, handlers: { "orchestration:list": list } });
  await until(() => second.runs.length > 0, "the run");
  assert.deepEqual(second.runs[0]?.input.inputs, { name: "Ada" });
  const [{ state, run_id }] = (await second.module.call("agent:list", {})).agents;
  assert.deepEqual([state, run_id], ["active", "run1"]);
});

test("a run that began before the daemon died is not begun again", async () => {
  const log = new MemoryEventLog();
  const first = await start({ log });
  const { agent_id } = await first.module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  await first[Symbol.asyncDispose]();
  await using second = await start({ log, handlers: { "orchestration:list": () => ({ runs: [{ run_id: "run1" }] }) } });
  await until(async () => (await second.module.call("agent:list", {})).agents[0].run_id, "the run");
  assert.deepEqual([second.runs.length, (await second.module.call("agent:info", { agent_id })).run_id], [0, "run1"]);
});

test("a request that is repeated under its id makes one agent and one run", async () => {
  await using started = await start();
  const { module, runs } = started;
  const request = { profile: "worker", pattern: "greet" };
  const first = await module.call("agent:spawn", request, { meta: { id: "run/7" } });
  assert.deepEqual(await module.call("agent:spawn", request, { meta: { id: "run/7" } }), first);
  assert.deepEqual([runs.length, (await module.call("agent:list", {})).agents.length], [1, 1]);
});

test("the run of an agent's agent is asked for in the name of the one that spawns", async () => {
  const callers: unknown[] = [];
  const note = ((_: object, { caller }: { caller?: object }) => {
    callers.push(caller);
    return { run_id: "r" };
  }) as TestHandler;
  await using started = await start({ handlers: { "orchestration:start": note } });
  const { agent_id: parent } = await started.module.call("agent:spawn", { profile: "worker" });
  const caller = { kind: "agent" as const, id: parent, capabilities: ["*"] };
  await started.module.call("agent:spawn", { profile: "worker", pattern: "greet" }, { caller });
  await started.module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  assert.deepEqual(callers, [{ kind: "agent", id: parent, isApproved: true }, undefined]);
});

const asAgent = (id: string) => ({ caller: { kind: "agent" as const, id, capabilities: ["*"] } });

test("an agent has at most 20 agents of its own at a time, also when it asks for many at once", async () => {
  await using started = await start();
  const { module } = started;
  const { agent_id: parent } = await module.call("agent:spawn", { profile: "worker" });
  const { agents } = await module.call("agent:spawn", { profile: "worker", count: 19, group: "voters" }, asAgent(parent));
  assert.deepEqual([agents.length, agents[18].name], [19, "voters-19"]);
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => module.call("agent:spawn", { profile: "worker" }, asAgent(parent))));
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  await module.call("agent:terminate", { agent_id: agents[0].agent_id }, asAgent(parent));
  await module.call("agent:spawn", { profile: "worker" }, asAgent(parent));
  const error = await module.call("agent:spawn", { profile: "worker" }, asAgent(parent)).catch((refused: CodedError) => refused);
  assert.deepEqual([error.code, error.details.limit], ["RUN_LIMIT_EXCEEDED", "children"]);
});

test("what a budget cannot limit is refused by its name, with or without a pattern", async () => {
  await using started = await start();
  const spawn = (budget: object, more: object = {}) => started.module.call("agent:spawn", { profile: "worker", budget, ...more });
  const message = "agent:spawn: budget.dollars: is unknown: expected children, depth or tokens";
  await assert.rejects(spawn({ dollars: 3 }), { code: "REQUEST_INVALID", message });
  await assert.rejects(spawn({ steps: 5 }), { code: "REQUEST_INVALID" });
  await assert.rejects(spawn({ depth: 0 }, { pattern: "greet" }), { code: "REQUEST_INVALID" });
  await spawn({ tokens: 5, steps: 5 }, { pattern: "greet" });
  assert.deepEqual(
    started.runs.map(({ input }) => input.budget),
    [{ tokens: 5, steps: 5 }],
  );
  assert.deepEqual((await started.module.call("agent:list", {})).agents.length, 1);
});

test("agents of agents end at the depth of their limits, and none gets more than its parent has", async () => {
  await using started = await start();
  const { module } = started;
  let { agent_id } = await module.call("agent:spawn", { profile: "worker", budget: { depth: 3 } });
  for (let depth = 2; depth <= 3; depth++) {
    ({ agent_id } = await module.call("agent:spawn", { profile: "worker", budget: { depth: 9, children: 1000 } }, asAgent(agent_id)));
  }
  const { depth, limits } = await module.call("agent:info", { agent_id });
  assert.deepEqual([depth, limits.depth, limits.children], [3, 3, 20]);
  await assert.rejects(module.call("agent:spawn", { profile: "worker" }, asAgent(agent_id)), { code: "RUN_LIMIT_EXCEEDED" });
});

test("agents that its run spawned end with an agent, but those whose profile says that they go on", async () => {
  await using started = await start({
    handlers: {
      "composition:render": (({ name }: { name: string }) => ({
        type: "profile",
        commit: "p1",
        data: name === "keeper" ? { outlives_parent: true } : {},
      })) as TestHandler,
    },
  });
  const { module } = started;
  const { agent_id: parent, run_id } = await module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  const { agent_id: child } = await module.call("agent:spawn", { profile: "worker" }, asAgent(parent));
  const { agent_id: keeper } = await module.call("agent:spawn", { profile: "keeper" }, asAgent(parent));
  module.publish("orchestration:completed", { agent_id: parent, run_id });
  await until(async () => (await module.call("agent:info", { agent_id: child })).state === "terminated", "the end of the child");
  assert.equal((await module.call("agent:info", { agent_id: keeper })).state, "active");
});

test("an agent may hold and end itself and those below it, nobody else", async () => {
  await using started = await start();
  const { module } = started;
  const { agent_id: parent } = await module.call("agent:spawn", { profile: "worker" });
  const { agent_id: child } = await module.call("agent:spawn", { profile: "worker" }, asAgent(parent));
  const { agent_id: grandchild } = await module.call("agent:spawn", { profile: "worker" }, asAgent(child));
  for (const command of ["agent:terminate", "agent:pause"]) {
    await assert.rejects(module.call(command, { agent_id: parent }, asAgent(child)), { code: "CAPABILITY_DENIED" });
  }
  assert.equal((await module.call("agent:pause", { agent_id: grandchild }, asAgent(parent))).state, "paused");
  assert.deepEqual(await module.call("agent:terminate", { agent_id: child }, asAgent(parent)), { terminated: [grandchild, child] });
});

test("of agents that have ended, the latest thousand are remembered", async () => {
  await using started = await start();
  const { module } = started;
  for (let index = 0; index < 1_010; index++) {
    const { agent_id } = await module.call("agent:spawn", { profile: "worker" });
    await module.call("agent:terminate", { agent_id });
  }
  await until(() => module.state.registry.agents.size === 1000, "the oldest to be forgotten");
});

test("what a model claims is told as unverified by interpreters alone", async () => {
  await using started = await start();
  const { module } = started;
  const { agent_id } = await module.call("agent:spawn", { profile: "worker" });
  const claim = { agent_id, claim: "I sent the mail", target: "tool:mail" };
  await assert.rejects(module.call("agent:report_claim", claim), { code: "CAPABILITY_DENIED" });
  await assert.rejects(module.call("agent:report_claim", claim, { caller: { kind: "module", id: "routing" } }), {
    code: "CAPABILITY_DENIED",
  });
  await module.call("agent:report_claim", claim, { caller: { kind: "module", id: "orchestration" } });
  assert.deepEqual(
    module.log.ofType("agent:claim_unverified").map(({ data }) => (data as typeof claim).target),
    ["tool:mail"],
  );
});
