import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { CodedError } from "../../daemon/errors.ts";
import type { EmitResult } from "../../daemon/events/contract.ts";
import { defineModule, type ModuleContext } from "../../daemon/module.ts";
import { pidFile } from "../../daemon/nats/server-files.ts";
import { startTestDaemon } from "../harness/daemon.ts";
import { readStoredEvents } from "../harness/stored-events.ts";

test("nats-server stalls: the outcome is unknown within some 5 s, and after that a repetition is stored once", async () => {
  const { module, context } = insider();
  await using daemon = await startTestDaemon({ modules: [module] });
  // A client's request would wait in the same server, so the daemon is asked from inside.
  const emit = async (id: string) => (await context).call<EmitResult>("event:emit", { event: "stall:met", id });
  const given = Array.from({ length: 30 }, (_, index) => `stalled-${index}`);
  let unknown: string[];
  {
    using _ = await stall(daemon.config.data);
    const since = performance.now();
    const outcomes = await Promise.allSettled(given.map(emit));
    assert.ok(performance.now() - since < 7_000);
    unknown = outcomes.map(idOfUnknown);
  }
  assert.deepEqual(unknown, given);

  const repeated = await Promise.all(unknown.map(emit));
  const events = await readStoredEvents({ url: daemon.daemon.natsUrl, data: daemon.config.data });
  const stored = events.filter(({ type }) => type === "stall:met");
  assert.deepEqual(stored.map(({ id }) => id).toSorted(), unknown.toSorted());
  assert.deepEqual(
    repeated.map(({ seq }) => seq),
    unknown.map((id) => stored.find((event) => event.id === id)?.seq),
  );
});

/** The id under which an emit of unknown outcome is to be repeated. */
function idOfUnknown(outcome: PromiseSettledResult<unknown>): string {
  const error = outcome.status === "rejected" ? outcome.reason : undefined;
  assert.ok(error instanceof CodedError, String(error));
  assert.deepEqual([error.code, error.retryable], ["EVENT_OUTCOME_UNKNOWN", true]);
  return String(error.details.id);
}

/** Stops the server's process, until disposed. */
async function stall(data: string): Promise<Disposable> {
  const pid = Number(await readFile(pidFile(join(data, "nats")), "utf8"));
  process.kill(pid, "SIGSTOP");
  return { [Symbol.dispose]: () => void process.kill(pid, "SIGCONT") };
}

/** A module that does nothing but give out what a module can reach. */
function insider() {
  const { promise: context, resolve } = Promise.withResolvers<ModuleContext>();
  const module = defineModule({
    name: "insider",
    description: "Lends its context to a test.",
    commands: {},
    events: {},
    start(given) {
      resolve(given);
      return { [Symbol.asyncDispose]: async () => {} };
    },
  });
  return { module, context };
}
