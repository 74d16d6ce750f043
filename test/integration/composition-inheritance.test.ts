import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestDaemon } from "../harness/daemon.ts";

test("an agent is what its profile inherits, and plays what its pattern inherits, at one commit", async () => {
  await using daemon = await startTestDaemon();
  const create = (type: string, name: string, body: string) =>
    daemon.ask("composition:create", { type, name, content: `name: ${name}\ntype: ${type}\nversion: 1.0.0\n${body}` });
  await create("profile", "heir", "extends: base_orchestrator\n");
  await create("component", "farewell", "content: RETURN {said, to}\n");
  await create(
    "orchestration",
    "greet",
    'components: [farewell]\nvariables: {to: nobody, said: hi}\norchestration_logic:\n  strategy: |\n    EMIT "hello:said" WITH {to}\n    {{component:farewell}}\n',
  );
  await create("orchestration", "greet_all", "extends: greet\nvariables: {to: all}\n");
  const { agent_id, run_id } = await daemon.ask<{ agent_id: string; run_id: string }>("agent:spawn", {
    profile: "heir",
    pattern: "greet_all",
    inputs: { said: "hey" },
  });
  const { state, result, error } = await daemon.ask("orchestration:status", { run_id, wait: 20 });
  assert.deepEqual([state, result, error], ["completed", { said: "hey", to: "all" }, undefined]);
  const { capabilities } = await daemon.ask<{ capabilities: string[] }>("agent:info", { agent_id });
  assert.ok(capabilities.includes("orchestration:*"), String(capabilities));
});
