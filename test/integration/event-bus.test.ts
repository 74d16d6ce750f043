import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startTestDaemon, type TestDaemon } from "../harness/daemon.ts";
import { until } from "../harness/until.ts";

interface Emitted {
  status: string;
  id: string;
  seq: number;
}
interface Page {
  events: { id: string; type: string; data: unknown; correlation: string; causation?: string; hops: number; seq: number }[];
  cursor?: string;
}

describe("event:emit", () => {
  let test: TestDaemon;
  before(async () => {
    test = await startTestDaemon();
  });
  after(() => test[Symbol.asyncDispose]());

  it("stores a plain event and delivers it to subscribers with the CloudEvents headers filled in", async () => {
    const received = Promise.withResolvers<Map<string, string>>();
    test.client.subscribe("event.monitoring.>", {
      max: 1,
      callback: (_, message) => received.resolve(new Map([...(message.headers ?? [])].map(([key, [value = ""]]) => [key, value]))),
    });
    await test.client.flush();
    const { status, id, seq } = await test.ask<Emitted>("event:emit", { event: "monitoring:alert", data: { host: "web-3" } });
    assert.equal(status, "emitted");
    assert.ok(seq > 0);
    const head = await received.promise;
    assert.equal(head.get("ce-id"), id);
    assert.equal(head.get("ce-type"), "monitoring:alert");
    assert.equal(head.get("ce-specversion"), "1.0");
    assert.equal(head.get("ce-correlationid"), id);
    assert.match(head.get("traceparent") ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    const { events } = await test.ask<Page>("event:query", { types: ["monitoring:alert"] });
    assert.deepEqual(events.at(-1)?.data, { host: "web-3" });
  });

  it("forwards to the command of that name and returns its reply", async () => {
    const reply = await test.ask("event:emit", { event: "system:ping" });
    assert.deepEqual([reply.status, reply.result], ["handled", { pong: true }]);
  });

  it("stores the same id once, however often and concurrently it is sent, and publishes it once", async () => {
    let seen = 0;
    const subscription = test.client.subscribe("event.order.placed", { callback: () => void seen++ });
    await test.client.flush();
    const body = { event: "order:placed", id: "order:17", data: 1 };
    const replies = await Promise.all(Array.from({ length: 20 }, () => test.ask<Emitted>("event:emit", body)));
    assert.equal(replies.filter(({ status }) => status === "emitted").length, 1);
    assert.equal(replies.filter(({ status }) => status === "duplicate").length, 19);
    assert.equal(new Set(replies.map(({ seq }) => seq)).size, 1);
    const { events } = await test.ask<Page>("event:query", { types: ["order:placed"] });
    assert.equal(events.length, 1);
    assert.equal(seen, 1);
    subscription.unsubscribe();
  });

  it("evaluates the condition over event, data and now, and skips when it is false", async () => {
    const emit = (condition: string) => test.ask<Emitted>("event:emit", { event: "load:high", data: { cpu: 0.9 }, condition });
    assert.equal((await emit('data.cpu > 0.8 and event = "load:high" and now > "2020"')).status, "emitted");
    assert.equal((await emit("data.cpu > 0.95")).status, "skipped");
    assert.equal((await emit("data.nothing > 1")).status, "skipped");
  });

  it("fails closed on a condition that does not parse, evaluate, end, or yield true or false", async () => {
    const codeOf = (condition: string) => test.codeOf("event:emit", { event: "load:high", condition });
    assert.equal(await codeOf("data >"), "EXPRESSION_INVALID");
    assert.equal(await codeOf('data.x + "1"'), "EXPRESSION_FAILED");
    assert.equal(await codeOf('"yes"'), "EXPRESSION_FAILED");
    assert.equal(await codeOf("($f := function($n) { $f($n + 1) + 1 }; $f(1)) > 0"), "EXPRESSION_LIMIT");
  });

  it("delays by the server's schedule and delivers once, and cancels what has not fired", async () => {
    const scheduled = await test.ask("event:emit", { event: "timer:fired", id: "timer-1", delay: 0.3 });
    assert.equal(scheduled.status, "scheduled");
    assert.equal((await test.ask("event:emit", { event: "timer:fired", id: "timer-1", delay: 0.3 })).status, "duplicate");
    await test.ask("event:emit", { event: "timer:fired", id: "timer-2", at: new Date(Date.now() + 3_600_000).toISOString() });
    assert.equal((await test.ask("event:cancel", { id: "timer-2" })).status, "cancelled");
    assert.equal(await test.codeOf("event:cancel", { id: "timer-2" }), "SCHEDULE_NOT_FOUND");
    const fired = await until(async () => {
      const { events } = await test.ask<Page>("event:query", { types: ["timer:fired"] });
      return events.length > 0 && events;
    }, "the timer");
    assert.deepEqual(
      fired.map(({ id }) => id),
      ["timer-1"],
    );
    assert.equal(
      (await test.ask("event:emit", { event: "timer:fired", id: "timer-1", delay: 0.3 })).status,
      "duplicate",
      "it has fired already",
    );
  });

  it("refuses times that make no sense", async () => {
    for (const at of ["tomorrow", "2026", "2026-11-20"]) {
      assert.equal(await test.codeOf("event:emit", { event: "a:b", at }), "EVENT_TIME_INVALID");
    }
    assert.equal(await test.codeOf("event:emit", { event: "a:b", delay: 1, at: new Date().toISOString() }), "EVENT_TIME_INVALID");
    assert.equal(await test.codeOf("event:emit", { event: "a:b", delay: -1 }), "REQUEST_INVALID");
    assert.equal(await test.codeOf("event:emit", { event: "a:b", delay: 1e12 }), "EVENT_TIME_INVALID");
  });

  it("stores a batch in consecutive sequences, and none of it when one event is bad", async () => {
    const events = Array.from({ length: 1_000 }, (_, index) => ({ event: "batch:member", data: index }));
    const { results } = await test.ask<{ results: Emitted[] }>("event:emit", { events });
    const first = results[0]?.seq ?? 0;
    assert.deepEqual(
      results.map(({ seq }) => seq),
      results.map((_, index) => first + index),
    );
    const count = async () => (await test.ask<Page>("event:query", { types: ["half:stored"] })).events.length;
    assert.equal(await test.codeOf("event:emit", { events: [{ event: "half:stored" }, { event: "Bad" }] }), "NAME_INVALID");
    assert.equal(await test.codeOf("event:emit", { events: [{ event: "half:stored" }, { event: "system:ping" }] }), "REQUEST_INVALID");
    assert.equal(await count(), 0);
  });

  it("recognises a repeated batch by its ids", async () => {
    const events = [
      { event: "batch:repeated", id: "b-1" },
      { event: "batch:repeated", id: "b-2" },
    ];
    await test.ask("event:emit", { events });
    const { results } = await test.ask<{ results: Emitted[] }>("event:emit", { events });
    assert.deepEqual(
      results.map(({ status }) => status),
      ["duplicate", "duplicate"],
    );
    assert.equal((await test.ask<Page>("event:query", { types: ["batch:repeated"] })).events.length, 2);
  });

  it("leaves out of a batch what is stored already, and stores the rest as one unit", async () => {
    await test.ask("event:emit", { event: "batch:mixed", id: "m-2" });
    const events = ["m-1", "m-2", "m-3", "m-1"].map((id) => ({ event: "batch:mixed", id }));
    const { results } = await test.ask<{ results: Emitted[] }>("event:emit", { events });
    assert.deepEqual(
      results.map(({ status }) => status),
      ["emitted", "duplicate", "emitted", "duplicate"],
    );
    assert.deepEqual([results[2]?.seq, results[3]?.seq], [(results[0]?.seq ?? 0) + 1, results[0]?.seq]);
    assert.equal((await test.ask<Page>("event:query", { types: ["batch:mixed"] })).events.length, 3);
  });

  it("refuses the events of a module's domain and chains of more than 8 hops", async () => {
    assert.equal(await test.codeOf("event:emit", { event: "routing:added", data: {} }), "EVENT_RESERVED");
    assert.equal(await test.codeOf("event:emit", { event: "routing:nonsense" }), "COMMAND_NOT_FOUND");
    assert.equal((await test.ask("event:emit", { event: "hop:made" }, { "ce-hops": "7" })).status, "emitted");
    assert.equal(await test.codeOf("event:emit", { event: "hop:made" }, { "ce-hops": "8" }), "EVENT_HOPS_EXCEEDED");
  });

  it("answers bad requests with a code, and the connection lives", async () => {
    assert.equal(await test.codeOf("event:emit", "{not json"), "REQUEST_MALFORMED");
    assert.equal(await test.codeOf("event:emit", "[1]"), "REQUEST_INVALID");
    assert.equal(await test.codeOf("event:emit", { event: 1 }), "REQUEST_INVALID");
    assert.equal(await test.codeOf("event:emit", { event: "a:b", dely: 1 }), "REQUEST_INVALID");
    assert.equal(await test.codeOf("event:emit", {}), "REQUEST_INVALID");
    assert.equal(await test.codeOf("event:emit", { event: "a:b", id: "no spaces" }), "REQUEST_INVALID");
    assert.equal(await test.codeOf("event:emit", { event: "a:b", data: "x".repeat(1_048_576) }), "EVENT_TOO_LARGE");
    assert.equal(await test.codeOf("event:emit", { event: "a:b", delay: 9, data: "x".repeat(1_048_576) }), "EVENT_TOO_LARGE");
    assert.equal(await test.codeOf("event:trace", { id: "nobody" }), "EVENT_NOT_FOUND");
    assert.equal(await test.codeOf("event:trace", { id: "x".repeat(3_000_000) }), "EVENT_NOT_FOUND");
    assert.equal(await test.codeOf("event:emit", { event: "a:b", ["k".repeat(3_000_000)]: 1 }), "REQUEST_INVALID");
    assert.equal(await test.codeOf("event:redrive", { id: "99" }), "DEAD_LETTER_NOT_FOUND");
    assert.equal(await test.codeOf("event:emit", { event: "a:b" }, { "ce-agent": "nobody" }), "AGENT_UNKNOWN");
    assert.equal((await test.ask("system:ping")).pong, true);
  });
});

describe("an agent that may emit and redrive", () => {
  it("gains nothing by delaying a command or by redriving its dead letter", async () => {
    await using test = await startTestDaemon();
    const { agent_id } = await test.ask<{ agent_id: string }>("agent:spawn", {
      profile: "base_orchestrator",
      capabilities: ["event:emit", "event:redrive"],
    });
    const asAgent = { "ce-agent": agent_id };
    const deletion = { event: "composition:delete", data: { name: "compression_tournament" } };
    assert.equal(await test.codeOf("event:emit", { ...deletion, delay: 0 }, asAgent), "CAPABILITY_DENIED");
    await test.ask("event:emit", { event: "composition:delete", data: { name: "missing_pattern" }, delay: 0 });
    const letter = await until(async () => {
      const { letters } = await test.ask<{ letters: { id: string; code: string }[] }>("event:dead", { listener: "schedule" });
      return letters[0];
    }, "the dead letter of a command that fails");
    assert.equal(letter.code, "COMPOSITION_NOT_FOUND");
    const { results } = await test.ask<{ results: { redriven: boolean }[] }>("event:redrive", { all: true }, asAgent);
    assert.deepEqual(
      results.map(({ redriven }) => redriven),
      [false],
    );
    assert.equal((await test.ask("composition:get", { name: "compression_tournament" })).name, "compression_tournament");
  });
});

describe("reading events", () => {
  it("pages through a query and filters by correlation, causation and time", async () => {
    await using test = await startTestDaemon();
    const head = { "ce-correlationid": "trip-1" };
    const first = await test.ask<Emitted>("event:emit", { event: "trip:started" }, head);
    for (let index = 0; index < 5; index++) {
      await test.ask("event:emit", { event: "trip:moved", data: index }, { ...head, "ce-causationid": first.id, "ce-hops": "0" });
    }
    await test.ask("event:emit", { event: "trip:started" });
    const seen: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page: Page = await test.ask<Page>("event:query", { correlation: "trip-1", limit: 4, ...(cursor && { cursor }) });
      seen.push(...page.events.map(({ type }) => type));
      cursor = page.cursor;
      if (cursor === undefined) break;
    }
    assert.deepEqual(seen, ["trip:started", ...Array.from({ length: 5 }, () => "trip:moved")]);
    const future = new Date(Date.now() + 60_000).toISOString();
    assert.equal((await test.ask<Page>("event:query", { since: future })).events.length, 0);
    assert.equal((await test.ask<Page>("event:query", { types: ["trip:*"], until: future })).events.length, 7);
    const { root } = await test.ask<{ root: { id: string; children: { type: string }[] } }>("event:trace", { id: first.id });
    assert.equal(root.id, first.id);
    assert.equal(root.children.length, 5);
  });
});

describe("a subject prefix", () => {
  it("keeps two installations on one server apart", async () => {
    await using host = await startTestDaemon();
    await using guest = await startTestDaemon({ config: { nats: { kind: "external", url: await host.adminUrl() }, prefix: "guest" } });
    await guest.ask("event:emit", { event: "who:am_i" });
    assert.equal((await host.ask<Page>("event:query", { types: ["who:am_i"] })).events.length, 0);
    assert.equal((await guest.ask<Page>("event:query", { types: ["who:am_i"] })).events.length, 1);
  });
});
