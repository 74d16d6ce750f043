/** A trivial command against a raw NATS request to an echo in a process of its own. */
import { connect } from "@nats-io/transport-node";
import { startDaemonProcess } from "../../test/harness/daemon-process.ts";
import { startEcho } from "./echo-process.ts";
import type { Figure } from "./main.ts";
import { compare, latency, rateFigure, throughput, timeFigure } from "./measure.ts";

const rounds = 11;
const warmUp = 5_000;

export async function requests(): Promise<Figure[]> {
  await using daemon = await startDaemonProcess();
  await using _echo = await startEcho(daemon.url);
  const client = await connect({ servers: daemon.url });
  const raw = () => client.request("bench.echo", "{}");
  const ours = () => client.request("system:ping", "{}");
  await throughput(warmUp, 64, raw);
  await throughput(warmUp, 64, ours);
  const p50 = (operation: () => Promise<unknown>) => async () => (await latency(1_000, operation)).p50;
  const rate = (operation: () => Promise<unknown>) => () => throughput(15_000, 64, operation);
  const times = await compare(rounds, p50(raw), p50(ours));
  const rates = await compare(rounds, rate(raw), rate(ours));
  await client.close();
  return [
    timeFigure("trivial command p50 / raw request p50", times, 1.4),
    rateFigure("trivial command rate / raw request rate at 64 in flight", rates, 0.7),
  ];
}
