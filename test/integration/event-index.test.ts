import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestDaemon } from "../harness/daemon.ts";

test("a query sees every event that was acknowledged before it, also while others query", async () => {
  await using daemon = await startTestDaemon();
  const writeAndRead = async (number: number) => {
    for (let round = 0; round < 20; round++) {
      const { id } = await daemon.ask<{ id: string }>("event:emit", { event: "own:written", data: number });
      const { events } = await daemon.ask<{ events: { id: string }[] }>("event:query", { correlation: id });
      assert.deepEqual(
        events.map((event) => event.id),
        [id],
      );
    }
  };
  await Promise.all(Array.from({ length: 16 }, (_, number) => writeAndRead(number)));
});
