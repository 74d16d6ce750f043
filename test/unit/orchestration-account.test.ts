import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { CodedError } from "../../daemon/errors.ts";
import { openAccount } from "../../modules/orchestration/account.ts";

const limits = { tokens: 1_000, cost: 5 };
const never = () => new AbortController().signal;
const tokens = (count: number) => ({ tokens: count, cost: 0 });
const exceeds = (limit: string) => (error: unknown) =>
  error instanceof CodedError && error.code === "RUN_LIMIT_EXCEEDED" && error.details.limit === limit;

describe("the account of a tree of runs", () => {
  it("is exceeded by one call at most when twenty agents race for the rest", async () => {
    const root = openAccount(limits);
    const agents = Array.from({ length: 20 }, () => root.open(limits));
    const call = tokens(130);
    const outcomes = await Promise.allSettled(
      agents.map(async (agent) => {
        for (;;) {
          const release = await agent.reserve(call, never());
          assert.ok(root.used.tokens < limits.tokens);
          await turn();
          release(call);
        }
      }),
    );
    for (const outcome of outcomes) assert.ok(outcome.status === "rejected" && exceeds("tokens")(outcome.reason));
    assert.ok(root.used.tokens >= limits.tokens && root.used.tokens < limits.tokens + call.tokens, String(root.used.tokens));
  });

  it("lets a call wait for what others may give back", async () => {
    const account = openAccount(limits);
    const first = await account.reserve(tokens(900), never());
    let isGranted = false;
    const second = account.reserve(tokens(200), never()).then((release) => {
      isGranted = true;
      return release;
    });
    await turn();
    assert.equal(isGranted, false);
    first(tokens(100));
    (await second)(tokens(200));
    assert.deepEqual(account.used, tokens(300));
  });

  it("names the money when that is used up, also where it was a child that spent it", async () => {
    const root = openAccount(limits);
    const child = root.open({ tokens: 10, cost: 50 });
    (await child.reserve({ tokens: 1, cost: 1 }, never()))({ tokens: 1, cost: 5 });
    await assert.rejects(child.reserve({ tokens: 1, cost: 1 }, never()), exceeds("cost"));
    await assert.rejects(root.reserve({ tokens: 1, cost: 1 }, never()), exceeds("cost"));
    assert.doesNotThrow(() => root.assertWithin());
    child.spend({ tokens: 0, cost: 1 });
    assert.throws(() => root.assertWithin(), exceeds("cost"));
  });

  it("counts for a step what the step spent, and each release once", async () => {
    const account = openAccount(limits, tokens(100));
    const purse = account.purse();
    const release = await purse.reserve(tokens(50), never());
    release({ tokens: 30, cost: 1 });
    release({ tokens: 30, cost: 1 });
    purse.spend({ tokens: 0, cost: 0.5 });
    assert.deepEqual(purse.spent, { tokens: 30, cost: 1.5 });
    assert.deepEqual(account.used, { tokens: 130, cost: 1.5 });
  });

  it("gives up a wait when its signal aborts", async () => {
    const account = openAccount(limits);
    await account.reserve(tokens(900), never());
    const abort = new AbortController();
    const waiting = account.reserve(tokens(200), abort.signal);
    abort.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
  });
});
