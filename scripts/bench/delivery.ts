/** From a stored event to the handler of a module: delay, and what one listening module sustains, with its memory. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { startDaemonProcess } from "../../test/harness/daemon-process.ts";
import type { Figure } from "./main.ts";
import { median, throughput } from "./measure.ts";
import { startRelaxedServer } from "./relaxed-server.ts";

const program = join(import.meta.dirname, "listening-daemon.ts");
const events = 1_000_000;
const batch = 500;

interface Report {
  count: number;
  times: Record<string, number>;
  used: number;
}

export async function delivery(): Promise<Figure[]> {
  return [await delay(), ...(await sustained())];
}

async function delay(): Promise<Figure> {
  await using daemon = await startDaemonProcess({ program });
  const client = await connect({ servers: daemon.url });
  const acknowledged = new Map<string, number>();
  for (let index = 0; index < 500; index++) {
    const reply = await client.request("event:emit", JSON.stringify({ event: "load:timed", data: { index } }));
    acknowledged.set(reply.json<{ id: string }>().id, performance.timeOrigin + performance.now());
    await pause(2);
  }
  const { times } = await report(client);
  await client.close();
  const delays = [...acknowledged].map(([id, at]) => (times[id] ?? Number.NaN) - at);
  const p50 = median(delays);
  return {
    name: "handler starts after the reply to emit, p50",
    measured: p50,
    unit: "ms",
    target: "≤ 1",
    met: p50 <= 1,
    note: "negative: before the reply",
  };
}

async function sustained(): Promise<Figure[]> {
  const data = await mkdtemp(join(tmpdir(), "reprise-bench-"));
  await using server = await startRelaxedServer();
  await using daemon = await startDaemonProcess({ program, args: ["--nats-url", server.url], data });
  const client = await connect({ servers: daemon.url });
  const body = JSON.stringify({ events: Array.from({ length: batch }, (_, index) => ({ event: "load:counted", data: { index } })) });
  const memory: number[] = [];
  const start = performance.now();
  for (let part = 0; part < 10; part++) {
    await throughput(events / batch / 10, 4, () => client.request("event:emit", body, { timeout: 30_000 }));
    memory.push((await report(client)).used / 2 ** 20);
  }
  while ((await report(client)).count < events) await pause(50);
  const rate = (events / (performance.now() - start)) * 1000;
  await client.close();
  await daemon[Symbol.asyncDispose]();
  await rm(data, { recursive: true, force: true });
  // The first parts fill caches; after them memory must not follow the number of events.
  const [, early = 0] = memory;
  const growth = (memory.at(-1) ?? 0) - early;
  return [
    { name: "events through one listening module, relaxed sync", measured: rate, unit: "events/s", target: "≥ 15000", met: rate >= 15_000 },
    {
      name: "memory growth from 200 000 to 1 000 000 events",
      measured: growth,
      unit: "MB",
      target: "≤ 20",
      met: growth <= 20,
      note: `${memory.map((value) => Math.round(value)).join(" ")} MB`,
    },
  ];
}

async function report(client: NatsConnection): Promise<Report> {
  return (await client.request("probe:report", "{}", { timeout: 30_000 })).json<Report>();
}
