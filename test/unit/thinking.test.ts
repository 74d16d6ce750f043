import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import { createFence } from "../../daemon/fence.ts";
import type { Effect } from "../../modules/orchestration/interpreter/effects.ts";
import { claimsIn } from "../../modules/orchestration/thinking/claims.ts";
import { type ActingTool, toolsFor } from "../../modules/orchestration/thinking/tools.ts";

describe("claims in a text", () => {
  const targets = (text: string) => claimsIn(text).map(({ target }) => target);

  it("are deeds in the past, with the name of what was used", () => {
    assert.deepEqual(targets("I emitted test:alarm."), ["test:alarm"]);
    assert.deepEqual(targets("Called `compress` twice and spawned agent:spawn"), ["compress", "agent:spawn"]);
    assert.deepEqual(targets("I spawned two helpers and called `run__compress`"), ["agent:spawn", "compress"]);
    assert.deepEqual(targets("I called composition__fork and `composition__fork`"), ["composition:fork"]);
    assert.deepEqual(targets("All is well. Then I sent test:one; I raised test:two!"), ["test:one", "test:two"]);
  });

  it("are not plans, denials, or names before the deed", () => {
    for (const text of [
      "I will have emitted test:alarm soon.",
      "I have not emitted test:alarm.",
      "test:alarm says that a valve was opened",
      "Nothing was sent by test:alarm",
      "The threshold is 3:4 and it was emitted.",
      "",
    ]) {
      assert.deepEqual(targets(text), [], text);
    }
  });
});

describe("a fence", () => {
  it("has a boundary that nobody can guess, and cuts what is too long", () => {
    const [one, other] = [createFence(), createFence()];
    assert.notEqual(one.rule, other.rule);
    const told = one.data("A text", `${"x".repeat(40_000)}the rest`);
    const [, boundary = ""] = /<<([\w-]{12})\n/.exec(told) ?? [];
    assert.ok(one.rule.includes(boundary) && told.endsWith(`${boundary}>>`));
    assert.match(told, /\(8 more letters\)/);
    assert.match(one.data("Nothing", undefined), /nothing/);
  });
});

describe("the tools of the llm interpreter", () => {
  const command = (name: string) => ({ name, description: `Does ${name}.`, input: z.toJSONSchema(z.strictObject({ name: z.string() })) });
  const commands = [
    "agent:spawn",
    "agent:send",
    "event:emit",
    "event:query",
    "composition:fork",
    "composition:delete",
    "model:generate",
    "tool:call",
    "composition:track_decision",
    "policy:select",
  ].map(command);
  const tools = ["compress", "list_files"].map((name) => ({ name, description: `${name}.`, parameters: { type: "object" } }));
  const namesFor = (capabilities: string[] | undefined, text: string) =>
    toolsFor({ capabilities, commands, tools, text }).map(({ name }) => name);

  it("are those that the capabilities allow, typed where the pattern names them", () => {
    assert.deepEqual(namesFor([], "EMIT"), ["await_event", "await_agents"]);
    assert.deepEqual(namesFor(["emit:test:*", "tool:compress"], ""), ["emit", "run__compress", "await_event", "await_agents"]);
    assert.deepEqual(namesFor(["composition:*", "tool:*"], 'CALL "composition:fork"\nTRACK decision: "x"\nRUN "list_files"'), [
      "composition__fork",
      "composition__track_decision",
      "call",
      "run__list_files",
      "run",
      "await_event",
      "await_agents",
    ]);
    const free = namesFor(undefined, "SPAWN");
    assert.ok(free.includes("emit") && free.includes("agent__spawn") && free.includes("send"));
    assert.ok(!free.some((name) => /model|event__emit|tool__call/.test(name)), free.join());
  });

  it("name what else may be called, and leave out what may not", () => {
    const call = toolsFor({ capabilities: ["composition:*"], commands, tools, text: "" }).find(({ name }) => name === "call") as ActingTool;
    assert.match(call.description, /composition:fork, composition:delete/);
    assert.doesNotMatch(call.description, /agent:spawn/);
  });

  it("mean the effects that statements mean", async () => {
    const all = toolsFor({ capabilities: undefined, commands, tools, text: "SPAWN TRACK CHOOSE QUERY compress" });
    const effectOf = async (name: string, input: object): Promise<Effect | undefined> => {
      let meant: Effect | undefined;
      const act = all
        .find((tool) => tool.name === name)
        ?.act(input, async (effect) => {
          meant ??= effect;
          return { id: "a1", result: 1 };
        });
      await act;
      return meant;
    };
    assert.deepEqual(await effectOf("emit", { event: "a:b", data: { n: 1 } }), { kind: "emit", event: "a:b", data: { n: 1 } });
    assert.deepEqual(await effectOf("agent__spawn", { profile: "p" }), { kind: "spawn", input: { profile: "p" } });
    assert.deepEqual(await effectOf("composition__track_decision", { pattern: "mine", decision: "x" }), {
      kind: "track",
      input: { decision: "x" },
    });
    assert.deepEqual(await effectOf("policy__select", { slot: "s", candidates: ["a"] }), {
      kind: "choose",
      slot: "s",
      context: undefined,
      candidates: ["a"],
    });
    assert.deepEqual(await effectOf("run__compress", { path: "x" }), { kind: "run", tool: "compress", input: { path: "x" } });
    assert.deepEqual(await effectOf("call", { command: "composition:delete", input: { name: "x" } }), {
      kind: "call",
      command: "composition:delete",
      input: { name: "x" },
    });
    assert.deepEqual(await effectOf("ask", { question: "Now?" }), { kind: "ask", question: "Now?" });
    await assert.rejects(effectOf("emit", { event: 7 }), { code: "REQUEST_INVALID" });
  });
});
