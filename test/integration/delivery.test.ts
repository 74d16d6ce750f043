import assert from "node:assert/strict";
import { describe, it } from "node:test";
import pino from "pino";
import { CodedError } from "../../daemon/errors.ts";
import { Delivery } from "../../daemon/events/delivery.ts";
import { createMetrics } from "../../daemon/metrics.ts";
import type { EventRecord } from "../../daemon/module.ts";
import { startTestLog, type TestLog } from "../harness/event-log.ts";
import { until } from "../harness/until.ts";

const pauses = [20, 40, 60, 80];

const deliveryOn = ({ client, manager, subjects, deadLetters }: TestLog) =>
  new Delivery({
    client,
    manager,
    subjects,
    deadLetters,
    log: pino({ level: "silent" }),
    ready: Promise.resolve(),
    metrics: createMetrics(),
    pauses,
  });

describe("delivery", () => {
  it("hands each event to every listener that matches, and only those", async () => {
    await using log = await startTestLog();
    await using delivery = deliveryOn(log);
    const seen: Record<string, string[]> = { one: [], two: [] };
    await delivery.listen({ name: "one", patterns: ["a:*"], handle: (event) => seen.one?.push(event.type) });
    await delivery.listen({ name: "two", patterns: ["a:x", "b:x"], handle: (event) => seen.two?.push(event.type) });
    for (const type of ["a:x", "a:y", "b:x", "c:x"]) await log.append(type);
    await until(() => seen.one?.length === 2 && seen.two?.length === 2, "four deliveries");
    assert.deepEqual(seen, { one: ["a:x", "a:y"], two: ["a:x", "b:x"] });
  });

  it("tries a failing listener five times, then makes a dead letter, while the others go on", async () => {
    await using log = await startTestLog();
    await using delivery = deliveryOn(log);
    let attempts = 0;
    let mended = false;
    const handled: string[] = [];
    await delivery.listen({
      name: "broken",
      patterns: ["a:x"],
      handle: () => {
        attempts++;
        if (!mended) throw new Error("no such luck");
      },
    });
    await delivery.listen({ name: "sound", patterns: ["a:x"], handle: (event) => handled.push(event.id) });
    const id = await log.append("a:x", { n: 1 });
    const letter = await until(async () => (await log.deadLetters.list({ limit: 10 })).letters[0], "the dead letter");
    assert.equal(attempts, 5);
    assert.deepEqual(handled, [id]);
    assert.deepEqual([letter.listener, letter.reason, letter.deliveries], ["broken", "no such luck", 5]);
    assert.deepEqual([letter.event.id, letter.event.data], [id, { n: 1 }]);

    mended = true;
    await delivery.redeliver("broken", letter.event);
    assert.equal(attempts, 6);
  });

  it("makes a dead letter at once of an error that says it is not retryable", async () => {
    await using log = await startTestLog();
    await using delivery = deliveryOn(log);
    let attempts = 0;
    await delivery.listen({
      name: "certain",
      patterns: ["a:x"],
      handle: () => {
        attempts++;
        throw new CodedError("COMMAND_NOT_FOUND", "never");
      },
    });
    await log.append("a:x");
    const letter = await until(async () => (await log.deadLetters.list({ limit: 10 })).letters[0], "the dead letter");
    assert.deepEqual([attempts, letter.code], [1, "COMMAND_NOT_FOUND"]);
  });

  it("delivers what came while nobody ran, in log order", async () => {
    await using log = await startTestLog();
    const seen: number[] = [];
    const listener = { name: "later", patterns: ["a:x"], handle: (event: EventRecord) => seen.push(event.data as number) };
    {
      await using first = deliveryOn(log);
      await first.listen({ ...listener, handle: () => {} });
    }
    for (let index = 0; index < 50; index++) await log.append("a:x", index);
    await using second = deliveryOn(log);
    await second.listen(listener);
    await until(() => seen.length === 50, "50 deliveries");
    assert.deepEqual(
      seen,
      seen.toSorted((left, right) => left - right),
    );
  });

  it("delivers again what was not acknowledged before a stop", async () => {
    await using log = await startTestLog();
    const patterns = ["a:x"];
    const never = Promise.withResolvers<void>();
    const abandoned = deliveryOn(log);
    const begun = Promise.withResolvers<void>();
    await abandoned.listen({
      name: "worker",
      patterns,
      handle: async () => {
        begun.resolve();
        await never.promise;
        throw new Error("interrupted");
      },
    });
    await log.append("a:x");
    await begun.promise;
    never.resolve();
    await abandoned[Symbol.asyncDispose]();
    await using next = deliveryOn(log);
    const done = Promise.withResolvers<string>();
    await next.listen({ name: "worker", patterns, handle: (event) => done.resolve(event.type) });
    assert.equal(await done.promise, "a:x");
  });

  it("forgets a listener that has no patterns left", async () => {
    await using log = await startTestLog();
    await using delivery = deliveryOn(log);
    await delivery.listen({ name: "rules", patterns: ["a:x"], handle: () => {} });
    await delivery.listen({ name: "rules", patterns: [], handle: () => {} });
    const consumers = await log.manager.consumers.list(log.subjects.streams.events).next();
    assert.deepEqual(consumers, []);
  });
});
