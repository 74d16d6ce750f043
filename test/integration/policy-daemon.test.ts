import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { projectFolder } from "../../daemon/project.ts";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { until } from "../harness/until.ts";

let daemon: TestDaemon;
before(async () => {
  daemon = await startTestDaemon();
  const content = "name: scored\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: |\n    RETURN {score: 0.25}\n";
  await daemon.ask("composition:create", { type: "orchestration", name: "scored", content });
});
after(() => daemon?.[Symbol.asyncDispose]());

interface Outcome {
  readonly decision_id: string;
  readonly reward: number;
  readonly source: string;
  readonly latency_ms?: number;
}

const outcomeOf = (id: string): Promise<Outcome> =>
  until(async () => {
    const { events } = await daemon.ask<{ events: { data: Outcome }[] }>("event:query", {
      types: ["policy:outcome_recorded"],
      limit: 1_000,
    });
    return events.map(({ data }) => data).find(({ decision_id }) => decision_id === id);
  }, "the outcome");

describe("outcomes in a daemon", () => {
  it("come from the run of the pattern that was selected, linked before or after its end", async () => {
    for (const isOver of [false, true]) {
      const { choice: pattern, decision_id } = await daemon.ask<{ choice: string; decision_id: string }>("composition:select", {
        task: "score it",
        candidates: ["scored"],
      });
      const { run_id } = await daemon.ask<{ run_id: string }>("orchestration:start", { pattern });
      if (isOver) await daemon.ask("orchestration:status", { run_id, wait: 20 });
      await daemon.ask("policy:link", { decision_id, outcome_from: { event: "run", id: run_id } });
      const { reward, source, latency_ms } = await outcomeOf(decision_id);
      assert.deepEqual([reward, source], [0.25, "orchestration:completed"]);
      assert.ok((latency_ms ?? -1) >= 0);
    }
  });

  it("come from the call of the tool that was selected, by its id", async () => {
    for (const isOver of [false, true]) {
      const id = `call-${isOver}`;
      const ask = { slot: "tool", candidates: [{ id: "profile_file" }], ...(!isOver && { outcome_from: { event: "tool", id } }) };
      const { choice: name, decision_id } = await daemon.ask<{ choice: string; decision_id: string }>("policy:select", ask);
      await daemon.ask("tool:call", { name, arguments: { path: join(projectFolder, "package.json") } }, { "ce-id": id });
      if (isOver) await daemon.ask("policy:link", { decision_id, outcome_from: { event: "tool", id } });
      const { reward, source } = await outcomeOf(decision_id);
      assert.deepEqual([reward, source], [1, "tool:completed"]);
    }
  });

  it("are those of an agent's choices alone its own to give", async () => {
    const { agent_id } = await daemon.ask<{ agent_id: string }>("agent:spawn", { profile: "base_orchestrator" });
    const candidates = [{ id: "one" }, { id: "other" }];
    const mine = await daemon.ask<{ decision_id: string }>("policy:select", { slot: "s", candidates }, { "ce-agent": agent_id });
    const outcome = { decision_id: mine.decision_id, reward: 1 };
    assert.equal(await daemon.codeOf("policy:outcome", outcome), "OUTCOME_FOREIGN");
    assert.equal(await daemon.codeOf("policy:outcome", outcome, { "ce-source": agent_id }), "OUTCOME_FOREIGN");
    assert.equal(await daemon.codeOf("event:emit", { event: "policy:outcome_recorded", data: outcome }), "EVENT_RESERVED");
    assert.deepEqual(await daemon.ask("policy:outcome", outcome, { "ce-agent": agent_id }), { joined: true });
  });

  it("are not to be given from outside in the name of an agent that chose inside", async () => {
    const strategy = ['CHOOSE hat FROM ["red", "blue"] FOR {} AS picked', "AWAIT never:told WITHIN 60s"];
    const content = `name: chooser\ntype: orchestration\nversion: 1.0.0\norchestration_logic:\n  strategy: |\n    ${strategy.join("\n    ")}\n`;
    await daemon.ask("composition:create", { type: "orchestration", name: "chooser", content });
    const { agent_id, run_id } = await daemon.ask<{ agent_id: string; run_id: string }>("agent:spawn", {
      profile: "base_orchestrator",
      pattern: "chooser",
    });
    const made = await until(async () => {
      const { events } = await daemon.ask<{ events: { data: { decision_id: string; by: string } }[] }>("event:query", {
        types: ["policy:selected"],
        run: run_id,
      });
      return events[0]?.data;
    }, "the choice of the run");
    assert.equal(made.by, `agent:${agent_id}`);
    const outcome = { decision_id: made.decision_id, reward: 1 };
    assert.equal(await daemon.codeOf("policy:outcome", outcome, { "ce-agent": agent_id }), "OUTCOME_FOREIGN");
    await daemon.ask("agent:terminate", { agent_id });
  });
});
