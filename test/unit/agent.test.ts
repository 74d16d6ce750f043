import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import agent from "../../modules/agent/index.ts";
import { createStateStore, startModule, type TestHandler, type TestOptions } from "../harness/module-context.ts";

interface Started {
  readonly input: Record<string, unknown>;
  readonly cause: Record<string, unknown>;
}

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
    module.publish(`orchestration:${event}`, { agent_id, run_id, result: { done: 1 }, error: { code: "X" } });
    while ((await module.call("agent:info", { agent_id })).state === "active") await turn();
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
  while ((await module.call("agent:info", { agent_id: other })).state === "active") await turn();
  assert.equal(typesIn(module).filter((type) => type === "agent:completed").length, 2);
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

test("agents are known after a restart, and the router is told of the active ones", async () => {
  const state = createStateStore();
  const first = await start({ state });
  const { agent_id: active } = await first.module.call("agent:spawn", { profile: "worker" });
  const { agent_id: over } = await first.module.call("agent:spawn", { profile: "worker" });
  await first.module.call("agent:terminate", { agent_id: over });
  await first[Symbol.asyncDispose]();
  await using second = await start({ state });
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

test("an agent whose run cannot start never was", async () => {
  await using started = await start({
    handlers: {
      "orchestration:start": () => {
        throw new CodedError("PATTERN_INVALID", "no");
      },
    },
  });
  const { module } = started;
  await assert.rejects(module.call("agent:spawn", { profile: "worker", pattern: "bad" }), { code: "PATTERN_INVALID" });
  assert.deepEqual((await module.call("agent:list", {})).agents, []);
  assert.deepEqual(typesIn(module), []);
  assert.equal(module.agents.size, 0);
});

test("a pattern is no profile, and an unknown agent is AGENT_NOT_FOUND", async () => {
  await using started = await start();
  await assert.rejects(started.module.call("agent:spawn", { profile: "a_pattern" }), { code: "COMPOSITION_INVALID" });
  await assert.rejects(started.module.call("agent:info", { agent_id: "nobody" }), { code: "AGENT_NOT_FOUND" });
  await assert.rejects(started.module.call("agent:terminate", { agent_id: "nobody" }), { code: "AGENT_NOT_FOUND" });
});

test("an agent that cannot be told of leaves no run behind", async () => {
  await using started = await start();
  const { module, cancelled } = started;
  const append = module.log.append.bind(module.log);
  module.log.append = (event) => {
    if (event.type === "agent:spawned") throw new CodedError("EVENT_LOG_UNAVAILABLE", "full");
    return append(event);
  };
  await assert.rejects(module.call("agent:spawn", { profile: "worker", pattern: "greet" }), { code: "EVENT_LOG_UNAVAILABLE" });
  assert.deepEqual(cancelled, ["run1"]);
  assert.deepEqual((await module.call("agent:list", {})).agents, []);
  assert.equal(module.agents.size, 0);
});

test("an agent whose daemon died before its run began has failed after the restart, with the reason", async () => {
  const state = createStateStore();
  const never = () => new Promise(() => {});
  const first = await start({ state, handlers: { "orchestration:start": never } });
  void first.module.call("agent:spawn", { profile: "worker", pattern: "greet", name: "Ada" });
  while ((await state.entries()).size === 0) await turn();
  await first[Symbol.asyncDispose]();
  let asked = 0;
  const list = () => {
    if (asked++ === 0) throw new CodedError("SHUTTING_DOWN", "starting");
    return { runs: [] };
  };
  await using second = await start({ state, handlers: { "orchestration:list": list } });
  const { module } = second;
  while ((await module.call("agent:list", { state: "active" })).agents.length > 0) await turn();
  const [{ agent_id, state: reached }] = (await module.call("agent:list", {})).agents;
  assert.equal(reached, "failed");
  assert.equal(module.agents.size, 0);
  const { id, data } = module.log.records.at(-1) ?? assert.fail();
  assert.equal(id, `${agent_id}/ended`);
  const error = { code: "SHUTTING_DOWN", message: "The daemon stopped before the agent's run began." };
  assert.deepEqual(data, { agent_id, name: "Ada", error });
});

test("a run that began for an agent of which nobody was told is cancelled after the restart", async () => {
  const state = createStateStore();
  const first = await start({ state });
  const { agent_id } = await first.module.call("agent:spawn", { profile: "worker", pattern: "greet" });
  await first[Symbol.asyncDispose]();
  const { run_id: _, ...unfinished } = (await state.get<{ run_id: string }>(agent_id))?.value ?? assert.fail();
  await state.put(agent_id, unfinished);
  await using second = await start({ state, handlers: { "orchestration:list": () => ({ runs: [{ run_id: "run1" }] }) } });
  second.module.publish("orchestration:cancelled", { agent_id, run_id: "run1" });
  while ((await second.module.call("agent:info", { agent_id })).state === "active") await turn();
  assert.deepEqual(second.cancelled, ["run1"]);
  assert.deepEqual(typesIn(second.module), ["agent:terminated"]);
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
  assert.deepEqual(callers, [{ kind: "agent", id: parent }, undefined]);
});
