/** `event:emit` from another process against a raw JetStream publish of the same payload to the same server. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JetStreamClient, jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { connectAsDaemon, type DaemonProcess, startDaemonProcess } from "../../test/harness/daemon-process.ts";
import { startEcho } from "./echo-process.ts";
import type { Figure } from "./main.ts";
import { compare, latency, rateFigure, throughput, timeFigure } from "./measure.ts";
import { startRelaxedServer } from "./relaxed-server.ts";

const payload = JSON.stringify({ level: "warning", host: "web-3", message: "x".repeat(100) });
const request = JSON.stringify({ event: "bench:measured", data: JSON.parse(payload) });
const rounds = 11;
const warmUp = 5_000;

interface Sides {
  readonly raw: JetStreamClient;
  readonly client: NatsConnection;
}

/** Server with `sync_interval: always`. */
export async function emitAlways(): Promise<Figure[]> {
  await using daemon = await startDaemonProcess();
  const connection = await connectAsDaemon(daemon);
  await using _echo = await startEcho(daemon.url);
  const sides = await open(daemon, connection);
  const figures = await figuresOf("sync always", sides, { latencies: 200, throughputs: 4_000, p50: 1.8, rate: 1.0 });
  const batch = JSON.stringify({ events: Array.from({ length: 100 }, () => JSON.parse(request)) });
  const perSecond = 100 * (await throughput(200, 4, () => ask(sides.client, batch)));
  figures.push({
    name: "emit, batches of 100, sync always",
    measured: perSecond,
    unit: "events/s",
    target: "≥ 10000",
    met: perSecond >= 10_000,
  });
  await close(sides, connection);
  return figures;
}

/** Server that syncs every two minutes, NATS's default. */
export async function emitRelaxed(): Promise<Figure[]> {
  const data = await mkdtemp(join(tmpdir(), "reprise-bench-"));
  {
    await using server = await startRelaxedServer();
    await using daemon = await startDaemonProcess({ args: ["--nats-url", server.url], data });
    const connection = await server.connect();
    await using _echo = await startEcho(daemon.url);
    const sides = await open(daemon, connection);
    const figures = await figuresOf("relaxed sync", sides, { latencies: 500, throughputs: 15_000, p50: 3.3, rate: 0.6 });
    await close(sides, connection);
    await daemon[Symbol.asyncDispose]();
    await rm(data, { recursive: true, force: true });
    return figures;
  }
}

async function open({ url }: DaemonProcess, connection: NatsConnection): Promise<Sides> {
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "BENCH", subjects: ["bench.raw"], storage: StorageType.File });
  return { raw: jetstream(connection), client: await connect({ servers: url }) };
}

async function close({ client }: Sides, connection: NatsConnection): Promise<void> {
  await Promise.all([client.close(), connection.close()]);
}

async function figuresOf(
  title: string,
  { raw, client }: Sides,
  asked: { latencies: number; throughputs: number; p50: number; rate: number },
): Promise<Figure[]> {
  const publish = () => raw.publish("bench.raw", payload);
  const emit = () => ask(client, request);
  const forward = () => client.request("bench.forward", request, { timeout: 10_000 });
  // Both programs run a while before a p50 means anything: a daemon just started is still being compiled.
  for (const operation of [publish, emit, forward]) await throughput(warmUp, 64, operation);
  const p50 = (operation: () => Promise<unknown>) => async () => (await latency(asked.latencies, operation)).p50;
  const rate = (operation: () => Promise<unknown>) => () => throughput(asked.throughputs, 64, operation);
  const times = await compare(rounds, p50(publish), p50(emit));
  const barest = await compare(rounds, p50(publish), p50(forward));
  const beside = await compare(rounds, p50(forward), p50(emit));
  const rates = await compare(rounds, rate(publish), rate(emit));
  return [
    timeFigure(
      `emit p50 / raw publish p50, ${title}`,
      times,
      asked.p50,
      `; a bare forwarder: ${barest.ratio.toFixed(2)} ×, ours / bare: ${beside.ratio.toFixed(2)} ×`,
    ),
    rateFigure(`emit rate / raw publish rate at 64 in flight, ${title}`, rates, asked.rate),
  ];
}

async function ask(client: NatsConnection, body: string): Promise<void> {
  const reply = await client.request("event:emit", body, { timeout: 10_000 });
  if (reply.headers?.get("Nats-Service-Error-Code")) throw new Error(reply.string());
}
