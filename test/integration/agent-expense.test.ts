/** What agents at work take from models is paid by the run that they work for, whether or not it waits for their answers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startTestDaemon } from "../harness/daemon.ts";
import { protocols, startModelServer } from "../harness/model-server.ts";
import { until } from "../harness/until.ts";

const worker = "name: costly\ntype: profile\nversion: 1.0.0\nmodel: default\n";
const pattern = `
name: crowd
type: orchestration
version: 1.0.0
orchestration_logic:
  strategy: |
    SPAWN {profile: "costly", count: 20} AS workers
    SEND {to: workers, message: "Say something."}
    AWAIT "test:never"
`;
const workers = 20;
/** Each answer takes 1 000 tokens; at most 1 000 of its own and those of its request are set aside for it. */
const taken = { prompt_tokens: 100, completion_tokens: 900 };
const limit = 6_000;

interface Reply {
  in_reply_to?: string;
  error?: { code: string; details: { limit?: string } };
}

test("twenty workers whose answers nobody awaits race for the tokens of their run, and exceed them by one call at most", async () => {
  await using server = await startModelServer(() => ({ content: JSON.stringify({ reply: "Hm.", events: [] }), usage: taken }));
  const model = { ...protocols.openai_compatible(server.url), max_tokens: 1_000 };
  await using daemon = await startTestDaemon({ config: { sections: { models: { default: model } } } });
  await daemon.ask("composition:create", { type: "profile", name: "costly", content: worker });
  await daemon.ask("composition:create", { type: "orchestration", name: "crowd", content: pattern });
  const { run_id } = await daemon.ask<{ run_id: string }>("orchestration:start", { pattern: "crowd", budget: { tokens: limit } });
  const replies = await until(async () => {
    const { events } = await daemon.ask<{ events: { data: Reply }[] }>("event:query", { types: ["agent:message_sent"], limit: 1000 });
    const found = events.filter(({ data }) => data.in_reply_to !== undefined);
    return found.length === workers ? found : undefined;
  }, "all replies");

  const refused = replies.flatMap(({ data }) => data.error ?? []);
  assert.ok(
    refused.every(({ code, details }) => code === "RUN_LIMIT_EXCEEDED" && details.limit === "tokens"),
    JSON.stringify(refused),
  );
  assert.equal(server.requests.length + refused.length, workers);
  const { usage } = await daemon.ask<{ usage: { tokens: number } }>("orchestration:status", { run_id });
  assert.equal(usage.tokens, server.requests.length * 1_000, "the run knows what they took");
  assert.ok(usage.tokens >= limit && usage.tokens < limit + 1_000, `${usage.tokens} of ${limit} tokens`);
  const { entries } = await daemon.ask<{ entries: { type: string; tokens?: number }[] }>("orchestration:journal", { run_id });
  const charged = entries.filter(({ type }) => type === "charged");
  assert.deepEqual(
    charged.map(({ tokens }) => tokens),
    server.requests.map(() => 1_000),
  );
});

test("nobody but the agents asks a model at the expense of a run", async () => {
  await using daemon = await startTestDaemon();
  const request = { run_id: "any", request: { model: "default", prompt: "Hello" } };
  await assert.rejects(daemon.ask("orchestration:generate", request), /CAPABILITY_DENIED/);
});
