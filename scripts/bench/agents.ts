/** Spawning agents against raw publishes to the same server, and what ten thousand idle agents cost. */
import { readFile } from "node:fs/promises";
import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { connectAsDaemon, type DaemonProcess, startDaemonProcess } from "../../test/harness/daemon-process.ts";
import type { Figure } from "./main.ts";
import { compare, throughput } from "./measure.ts";

const idle = 10_000;
const rounds = 5;
const perRound = 1_000;
const inFlight = 64;
const spawnRequest = JSON.stringify({ profile: "base_multi_agent", name: "idle" });

export async function agents(): Promise<Figure[]> {
  await using daemon = await startDaemonProcess();
  const owner = await connectAsDaemon(daemon);
  const manager = await jetstreamManager(owner);
  await manager.streams.add({ name: "BENCH", subjects: ["bench.raw"], storage: StorageType.File });
  const raw = jetstream(owner);
  const client = await connect({ servers: daemon.url });
  const spawn = async () => {
    const reply = await client.request("agent:spawn", spawnRequest, { timeout: 30_000 });
    if (reply.headers?.get("Nats-Service-Error-Code")) throw new Error(reply.string());
  };
  await throughput(200, inFlight, spawn);
  const before = await residentMegabytes(daemon);
  const rates = await compare(
    rounds,
    () => throughput(perRound, inFlight, () => raw.publish("bench.raw", spawnRequest)),
    () => throughput(perRound, inFlight, spawn),
  );
  await throughput(idle - rounds * perRound, inFlight, spawn);
  const after = await residentMegabytes(daemon);
  await Promise.all([client.close(), owner.close()]);
  return [
    {
      name: "agents spawned, 64 in flight, sync always",
      measured: rates.ours,
      unit: "agents/s",
      target: "≥ 500",
      met: rates.ours >= 500,
      note: `raw publishes ${Math.round(rates.raw)} per second`,
    },
    {
      name: `${idle} idle agents, memory more than none`,
      measured: after - before,
      unit: "MB",
      target: "≤ 250",
      met: after - before <= 250,
      note: `${Math.round(before)} → ${Math.round(after)} MB resident`,
    },
  ];
}

/** Of the daemon's own process, without its NATS server. */
async function residentMegabytes({ process: { pid } }: DaemonProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
