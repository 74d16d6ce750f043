/** A trivial command against a raw NATS request to an echo in a process of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { startDaemonProcess } from "../../test/harness/daemon-process.ts";
import type { Figure } from "./main.ts";
import { alternate, latency, median, throughput } from "./measure.ts";

export async function requests(): Promise<Figure[]> {
  await using daemon = await startDaemonProcess();
  await using _echo = await startEcho(daemon.url);
  const client = await connect({ servers: daemon.url });
  const raw = () => client.request("bench.echo", "{}");
  const ours = () => client.request("system:ping", "{}");
  const times = await alternate(
    5,
    async () => (await latency(2_000, raw)).p50,
    async () => (await latency(2_000, ours)).p50,
  );
  const rates = await alternate(
    5,
    () => throughput(30_000, 64, raw),
    () => throughput(30_000, 64, ours),
  );
  await client.close();
  const time = median(times.ours) / median(times.raw);
  const rate = median(rates.ours) / median(rates.raw);
  return [
    {
      name: "trivial command p50 / raw request p50",
      measured: time,
      unit: "×",
      target: "≤ 1.4",
      met: time <= 1.4,
      note: `${median(times.ours).toFixed(3)} / ${median(times.raw).toFixed(3)} ms`,
    },
    {
      name: "trivial command rate / raw request rate at 64 in flight",
      measured: rate,
      unit: "×",
      target: "≥ 0.7",
      met: rate >= 0.7,
      note: `${Math.round(median(rates.ours))} / ${Math.round(median(rates.raw))} per second`,
    },
  ];
}

/** A process that answers requests on `bench.echo`, without the daemon. */
async function startEcho(url: string): Promise<AsyncDisposable> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "echo.ts"), url], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
