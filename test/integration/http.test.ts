import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { after, describe, it } from "node:test";
import { pino } from "pino";
import { ConfigError } from "../../daemon/config.ts";
import { type Health, startHttpServer } from "../../daemon/http.ts";
import { createMetrics, registerProcessMetrics } from "../../daemon/metrics.ts";

const log = pino({ level: "silent" });
const metrics = createMetrics();
let health: () => Health = () => ({ status: "ready", modules: 3 });
const server = await startHttpServer({ port: 0, health: () => health(), metrics, log });
after(() => server[Symbol.asyncDispose]());

/** `fetch` does not let the Host header be chosen. */
async function get(path: string, headers: Record<string, string> = {}, method = "GET") {
  const outgoing = request(new URL(path, server.url), { headers, method, agent: false }).end();
  const [incoming] = await once(outgoing, "response");
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk);
  return { status: incoming.statusCode, type: incoming.headers["content-type"], body: Buffer.concat(chunks).toString() };
}

describe("the HTTP endpoint", () => {
  it("says that the daemon is ready, or why it is not", async () => {
    assert.deepEqual(JSON.parse((await get("/healthz")).body), { status: "ready", modules: 3 });
    health = () => ({ status: "degraded", reasons: ["NATS is away."] });
    const { status, body } = await get("/healthz");
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(body).reasons, ["NATS is away."]);
    health = () => ({ status: "ready" });
  });

  it("serves the metrics as Prometheus text", async () => {
    metrics.counter("answers_total", "Answers.").add({ command: 'a"\\\nb' }, 2);
    const seconds = metrics.histogram("wait_seconds", "Waits.", [0.1, 1]);
    for (const value of [0.1, 0.5, 7]) seconds.observe(value);
    metrics.observed("waiting", "gauge", "Waiting.", () => 4);
    using _process = registerProcessMetrics(metrics);
    const { status, type, body } = await get("/metrics");
    assert.equal(status, 200);
    assert.equal(type, "text/plain; version=0.0.4; charset=utf-8");
    for (const line of [
      "# HELP answers_total Answers.",
      "# TYPE answers_total counter",
      'answers_total{command="a\\"\\\\\\nb"} 2',
      "# TYPE wait_seconds histogram",
      'wait_seconds_bucket{le="0.1"} 1',
      'wait_seconds_bucket{le="1"} 2',
      'wait_seconds_bucket{le="+Inf"} 3',
      "wait_seconds_sum 7.6",
      "wait_seconds_count 3",
      "waiting 4",
    ]) {
      assert.ok(body.split("\n").includes(line), `${line} is missing in\n${body}`);
    }
    assert.match(body, /^process_resident_memory_bytes [1-9]\d{6,}$/m);
    assert.match(body, /^nodejs_eventloop_lag_seconds \d/m);
  });

  it("refuses to register a metric twice", () => {
    metrics.observed("once", "gauge", "Once.", () => 1);
    assert.throws(() => metrics.counter("once", "Twice."), /once/);
  });

  it("answers anything else with a coded status and a JSON body", async () => {
    for (const [path, method, expected] of [
      ["/", "GET", 404],
      ["/healthz/", "GET", 404],
      ["/../etc/passwd", "GET", 404],
      ["/metrics", "POST", 405],
    ] as const) {
      const { status, body } = await get(path, {}, method);
      assert.equal(status, expected);
      assert.ok(JSON.parse(body).error);
    }
  });

  it("refuses a Host that is not its own, as a rebound DNS name would send", async () => {
    assert.equal((await get("/metrics", { host: "attacker.example:4280" })).status, 403);
    assert.equal((await get("/metrics", { host: "127.0.0.1.attacker.example" })).status, 403);
    assert.equal((await get("/metrics", { host: "localhost:1" })).status, 200);
  });

  it("drops requests with endless headers, and ones that never end", async () => {
    assert.equal((await get("/healthz", { "x-large": "x".repeat(10_000) })).status, 431);
    const slow = connect(Number(new URL(server.url).port), "127.0.0.1");
    slow.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
    const [answer] = await once(slow, "data");
    assert.match(String(answer), /^HTTP\/1.1 408/);
  });

  it("answers 500 for a defect and goes on", async () => {
    health = () => assert.fail("a defect");
    assert.equal((await get("/healthz")).status, 500);
    health = () => ({ status: "ready" });
    assert.equal((await get("/healthz")).status, 200);
  });

  it("names the flag when the port is taken", async () => {
    const port = Number(new URL(server.url).port);
    await assert.rejects(
      startHttpServer({ port, health, metrics, log }),
      (error) => error instanceof ConfigError && /--http-port/.test(error.message),
    );
  });

  it("closes twice without harm", async () => {
    const other = await startHttpServer({ port: 0, health, metrics, log });
    await other[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
    await assert.rejects(fetch(`${other.url}/healthz`));
  });
});
