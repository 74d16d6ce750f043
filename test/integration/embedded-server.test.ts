import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, test } from "node:test";
import { AckPolicy, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, PermissionViolationError } from "@nats-io/transport-node";
import pino from "pino";
import { type EmbeddedServer, startEmbeddedServer } from "../../daemon/nats/embedded-server.ts";
import { pidFile } from "../../daemon/nats/server-files.ts";
import { subjectsFor } from "../../daemon/nats/subjects.ts";
import { natsBinary } from "../harness/nats-binary.ts";
import { until } from "../harness/until.ts";

let directory: string;
let cleanups: AsyncDisposableStack;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "reprise-nats-"));
  cleanups = new AsyncDisposableStack();
  cleanups.defer(() => rm(directory, { recursive: true, force: true }));
});
afterEach(() => cleanups.disposeAsync());

async function start(): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({
    binary: await natsBinary(),
    directory,
    port: 0,
    subjects: subjectsFor(),
    modules: [{ name: "listener", commands: {} }],
    log: pino({ level: "silent" }),
    signal: new AbortController().signal,
  });
  return cleanups.use(server);
}

async function connectTo(server: EmbeddedServer, as: "daemon" | "client"): Promise<NatsConnection> {
  const { user, password: pass } = server.credentials;
  const nats = await connect({
    servers: server.url,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    ...(as === "daemon" && { user, pass }),
  });
  cleanups.defer(() => nats.close());
  return nats;
}

async function withEvents(): Promise<{ server: EmbeddedServer; daemon: NatsConnection; client: NatsConnection }> {
  const server = await start();
  const daemon = await connectTo(server, "daemon");
  const manager = await jetstreamManager(daemon);
  for (const [name, subject] of [["EVENTS", "event.>"] as const, ["RUNS", "run.>"] as const]) {
    await manager.streams.add({ name, subjects: [subject], allow_direct: true });
  }
  await manager.consumers.add("EVENTS", { durable_name: "listener", ack_policy: AckPolicy.Explicit });
  await daemon.request("event.test.made", "first");
  return { server, daemon, client: await connectTo(server, "client") };
}

const isAlive = (pid: number) => existsSync(`/proc/${pid}`);

test("a client is refused what only the daemon may do", async () => {
  const { daemon, client } = await withEvents();
  const refused = {
    "event.test.forged": "",
    "run.1": "",
    "schedule.pending.1": "",
    "dead.event": "",
    "$KV.bucket.key": "",
    "$O.store.C.x": "",
    "$JS.API.STREAM.CREATE.MINE": JSON.stringify({ name: "MINE", subjects: ["mine"] }),
    "$JS.API.STREAM.UPDATE.EVENTS": JSON.stringify({ name: "EVENTS", subjects: ["other.>"] }),
    "$JS.API.STREAM.PURGE.EVENTS": "",
    "$JS.API.STREAM.DELETE.EVENTS": "",
    "$JS.API.STREAM.MSG.DELETE.EVENTS": JSON.stringify({ seq: 1 }),
    "$JS.API.CONSUMER.DELETE.EVENTS.listener": "",
    "$JS.API.CONSUMER.MSG.NEXT.EVENTS.listener": "",
    "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.listener": "",
    "$JS.API.CONSUMER.CREATE.EVENTS.listener": "",
    "$JS.API.CONSUMER.CREATE.EVENTS": "",
    "$JS.API.CONSUMER.CREATE.RUNS.mine": "",
    "$JS.ACK.EVENTS.listener.1.1.1.1.0": "",
  };
  for (const [subject, body] of Object.entries(refused)) {
    await assert.rejects(client.request(subject, body, { timeout: 2_000 }), (error: Error) => {
      assert.ok(error.cause instanceof PermissionViolationError || error instanceof PermissionViolationError, `${subject}: ${error}`);
      return true;
    });
  }
  const { state } = await (await jetstreamManager(daemon)).streams.info("EVENTS");
  assert.equal(state.messages, 1);
});

test("a client reads the log, has consumers of its own, calls commands and serves tools", async () => {
  const { daemon, client } = await withEvents();
  const manager = await jetstreamManager(client);
  assert.equal((await manager.streams.info("EVENTS")).state.messages, 1);
  assert.equal((await manager.streams.getMessage("EVENTS", { seq: 1 }))?.string(), "first");
  assert.equal((await manager.direct.getMessage("EVENTS", { seq: 1 }))?.string(), "first");
  await manager.consumers.add("EVENTS", { durable_name: "mine", ack_policy: AckPolicy.Explicit });
  const consumer = await manager.jetstream().consumers.get("EVENTS", "mine");
  const message = await consumer.next({ expires: 2_000 });
  assert.equal(message?.string(), "first");
  assert.equal(await message?.ackAck(), true);
  assert.equal(await manager.consumers.delete("EVENTS", "mine"), true);

  daemon.subscribe("composition:fork", { callback: (_, request) => void request.respond("forked") });
  client.subscribe("tools.mine", { callback: (_, request) => void request.respond("done") });
  await Promise.all([daemon.flush(), client.flush()]);
  assert.equal((await client.request("composition:fork")).string(), "forked");
  assert.equal((await daemon.request("tools.mine")).string(), "done");
});

test("configuration and password are for their owner alone", async () => {
  await start();
  for (const file of ["server.conf", "password"]) assert.equal((await stat(join(directory, file))).mode & 0o777, 0o600);
});

test("a killed server is back on its port with its data", async () => {
  const { server, daemon } = await withEvents();
  const { pid, url } = server;
  process.kill(pid, "SIGKILL");
  await until(() => server.restarts === 1 && server.state === "ready", "the restart");
  assert.notEqual(server.pid, pid);
  assert.equal(server.url, url);
  await until(async () => (await daemon.request("event.test.made", "second").catch(() => undefined)) !== undefined, "a publish");
  const { state } = await (await jetstreamManager(daemon)).streams.info("EVENTS");
  assert.ok(state.messages >= 2);
});

test("a disposed server is gone, with nobody on its port", async () => {
  const server = await start();
  await server[Symbol.asyncDispose]();
  assert.equal(server.state, "stopped");
  assert.ok(!isAlive(server.pid));
  await assert.rejects(connect({ servers: server.url, reconnect: false }));
});

async function startHolder(): Promise<{ kill(): void; url: string; pid: number }> {
  const file = join(import.meta.dirname, "..", "harness", "embedded-server-holder.ts");
  const holder = spawn(process.execPath, [file, await natsBinary(), directory], { stdio: ["ignore", "pipe", "inherit"] });
  cleanups.defer(() => void holder.kill("SIGKILL"));
  const [line] = await once(createInterface({ input: holder.stdout }), "line");
  return { kill: () => void holder.kill("SIGKILL"), ...JSON.parse(line) };
}

test("the server of a killed daemon ends within 2 s", async () => {
  const holder = await startHolder();
  assert.ok(isAlive(holder.pid));
  const killed = Date.now();
  holder.kill();
  await until(() => !isAlive(holder.pid), "the end of the server");
  assert.ok(Date.now() - killed < 2_000);
});

test("a start right after a kill takes the folder over", async () => {
  const holder = await startHolder();
  holder.kill();
  const server = await start();
  assert.ok(!isAlive(holder.pid));
  await (await connectTo(server, "client")).flush();
});

test("a stranger whose id stands in the pid file is left alone", async () => {
  const stranger = spawn("sleep", ["60"], { stdio: "ignore" });
  cleanups.defer(() => void stranger.kill());
  await writeFile(pidFile(directory), String(stranger.pid));
  await start();
  assert.equal(stranger.exitCode, null);
  assert.equal(stranger.signalCode, null);
});
