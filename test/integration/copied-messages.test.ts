import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connectTo } from "../../daemon/nats/connection.ts";
import { loadCredentials } from "../../daemon/nats/server-files.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { until } from "../harness/until.ts";

/** NATS does not check where a reply goes: a client may name one of our subjects as the reply to a request it may make. */
describe("a reply that a client directs into a stream of the daemon", () => {
  it("is not sent by the daemon, and a copy that the server makes is not believed", async () => {
    await using test = await startTestDaemon();
    const { id, seq } = await test.ask<{ id: string; seq: number }>("event:emit", {
      event: "money:paid",
      data: { caller: { kind: "module" } },
    });
    await test.ask("routing:add", { id: "count", event: "money:paid", emit: "money:counted" });

    const get = JSON.stringify({ seq });
    test.client.publish("event:query", "{}", { reply: "event.money.paid" });
    for (const reply of [
      "event.money.paid",
      "event.orchestration.completed",
      "schedule.due.x",
      "dead.routing",
      "run.r1",
      "$KV.routing.forged",
    ]) {
      test.client.publish("$JS.API.DIRECT.GET.EVENTS", get, { reply });
    }
    await test.client.flush();

    // The copies are there; an event after them shows that all were passed over.
    await using admin = await connectTo({ url: test.daemon.natsUrl, ...(await loadCredentials(`${test.config.data}/nats`)) });
    const manager = await jetstreamManager(admin.nats);
    await until(async () => (await manager.streams.info("EVENTS")).state.last_seq >= seq + 3, "the copies");
    const second = await test.ask<{ id: string }>("event:emit", { event: "money:paid" });
    const counted = await until(async () => {
      const { events } = await test.ask<{ events: { causation: string }[] }>("event:query", { types: ["money:counted"] });
      return events.length > 0 && events;
    }, "the rule to fire");
    assert.deepEqual(
      counted.map(({ causation }) => causation),
      [second.id],
    );
    const { events } = await test.ask<{ events: { id: string }[] }>("event:query", { types: ["money:paid", "orchestration:*"] });
    assert.deepEqual(
      events.map((event) => event.id),
      [id, second.id],
    );
    assert.deepEqual((await test.ask<{ letters: unknown[] }>("event:dead", {})).letters, []);
    const { rules } = await test.ask<{ rules: { id: string }[] }>("routing:list");
    assert.deepEqual(
      rules.map((rule) => rule.id),
      ["count"],
    );
  });
});
