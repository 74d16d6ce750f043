import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { until } from "../harness/until.ts";

interface Page {
  events: { id: string; type: string; data: unknown; hops: number; causation?: string }[];
}

describe("routing rules", () => {
  let test: TestDaemon;
  before(async () => {
    test = await startTestDaemon();
  });
  after(() => test[Symbol.asyncDispose]());

  const events = async (...types: string[]) => (await test.ask<Page>("event:query", { types })).events;

  it("emit the target with mapped data when the condition holds", async () => {
    await test.ask("routing:add", {
      event: "sensor:read",
      condition: "data.celsius > 30",
      emit: "alarm:raised",
      mapping: '{"message": "hot: " & data.celsius}',
    });
    const cause = await test.ask("event:emit", { event: "sensor:read", data: { celsius: 35 } });
    await test.ask("event:emit", { event: "sensor:read", data: { celsius: 20 } });
    const [alarm] = await until(async () => {
      const found = await events("alarm:raised");
      return found.length > 0 && found;
    }, "the alarm");
    assert.deepEqual([alarm?.data, alarm?.causation, alarm?.hops], [{ message: "hot: 35" }, cause.id, 1]);
    assert.equal((await events("alarm:raised")).length, 1);
  });

  it("may call a command", async () => {
    await test.ask("routing:add", { event: "rule:wanted", emit: "routing:add", mapping: '{"id": "made", "event": "x:y", "emit": "x:z"}' });
    await test.ask("event:emit", { event: "rule:wanted" });
    await until(async () => {
      const { rules } = await test.ask<{ rules: { id: string }[] }>("routing:list");
      return rules.some(({ id }) => id === "made");
    }, "the rule made by a rule");
  });

  it("stop a cycle at the hop limit, with a dead letter that says so", async () => {
    await test.ask("routing:add", { id: "there", event: "cycle:ping", emit: "cycle:pong" });
    await test.ask("routing:add", { id: "back", event: "cycle:pong", emit: "cycle:ping" });
    await test.ask("event:emit", { event: "cycle:ping" });
    const letter = await until(async () => {
      const { letters } = await test.ask<{ letters: { code: string }[] }>("event:dead", {});
      return letters.find(({ code }) => code === "EVENT_HOPS_EXCEEDED");
    }, "the dead letter");
    assert.ok(letter);
    assert.equal((await events("cycle:*")).length, 9);
    assert.equal((await test.ask("system:ping")).pong, true);
  });

  it("end at their time to live, and when removed", async () => {
    await test.ask("routing:add", { id: "brief", event: "brief:in", emit: "brief:out", ttl: 0.01 });
    await until(async () => {
      const { rules } = await test.ask<{ rules: { id: string }[] }>("routing:list");
      return rules.every(({ id }) => id !== "brief");
    }, "the rule's end");
    await test.ask("routing:add", { id: "gone", event: "gone:in", emit: "gone:out" });
    await test.ask("routing:remove", { id: "gone" });
    assert.equal(await test.codeOf("routing:remove", { id: "gone" }), "ROUTE_NOT_FOUND");
    await test.ask("event:emit", { event: "gone:in" });
    await test.ask("event:emit", { event: "brief:in" });
    await test.ask("routing:add", { id: "mark", event: "mark:in", emit: "mark:out" });
    await test.ask("event:emit", { event: "mark:in" });
    await until(async () => (await events("mark:out")).length === 1, "a rule that is in force");
    assert.equal((await events("gone:out", "brief:out")).length, 0);
  });

  it("refuse expressions that do not parse and names that are none", async () => {
    assert.equal(await test.codeOf("routing:add", { event: "a:b", emit: "c:d", condition: "data >" }), "EXPRESSION_INVALID");
    assert.equal(await test.codeOf("routing:add", { event: "a", emit: "c:d" }), "REQUEST_INVALID");
    assert.equal(await test.codeOf("routing:add", { event: "a:b", emit: "c:*" }), "REQUEST_INVALID");
  });
});
