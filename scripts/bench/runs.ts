/** Durable runs of scripted patterns: how long one takes, how many there are a second, and how soon they go on after a kill. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { askerOn } from "../../test/harness/ask.ts";
import { connectAsDaemon, type DaemonProcess, startDaemonProcess } from "../../test/harness/daemon-process.ts";
import { until } from "../../test/harness/until.ts";
import type { Figure } from "./main.ts";
import { latency, median, throughput } from "./measure.ts";
import { startRelaxedServer } from "./relaxed-server.ts";

const rounds = 7;
const openRuns = 200;

const strategies = {
  three_steps: 'EMIT "bench:counted" WITH {i: 1}\nEMIT "bench:counted" WITH {i: 2}\nEMIT "bench:counted" WITH {i: 3}\nRETURN {done: 3}',
  many_steps: 'LOOP i FROM 1 TO count:\n  EMIT "bench:counted" WITH {i}\nRETURN {done: count}',
  waiting: 'EMIT "bench:counted" WITH {i: 1}\nAWAIT "bench:released"\nRETURN {done: 1}',
};

type Strategy = keyof typeof strategies;

/** Sequential durable writes of a three-step run: the event of its start, three events, the event of its end. */
const writesOfThreeSteps = 5;

export async function runs(): Promise<Figure[]> {
  return [...(await latencies()), ...(await rates()), ...(await recovery())];
}

/** Server with `sync_interval: always`. */
async function latencies(): Promise<Figure[]> {
  await using daemon = await startDaemonProcess();
  const own = await connectAsDaemon(daemon);
  const client = await connect({ servers: daemon.url });
  await createPatterns(client);
  const play = () => playRun(client, "three_steps");
  const raw = await rawPublish(own);
  await throughput(2_000, 8, play); // a daemon just started is still being compiled
  const pairs: { ours: number; raw: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    pairs.push({ raw: (await latency(100, raw)).p50, ours: (await latency(60, play)).p50 });
  }
  const ours = median(pairs.map((pair) => pair.ours));
  const ratio = median(pairs.map((pair) => pair.ours / (pair.raw * writesOfThreeSteps)));
  const growth = await growthPerStep(client);
  await Promise.all([client.close(), own.close()]);
  return [
    {
      name: "three-step run p50, sync always",
      measured: ours,
      unit: "ms",
      target: "≤ 5",
      met: ours <= 5,
      note: `${ratio.toFixed(2)} × its ${writesOfThreeSteps} durable writes one after another`,
    },
    {
      name: "time per step, a run of 10000 steps / one of 1000",
      measured: growth,
      unit: "×",
      target: "≤ 1.2",
      met: growth <= 1.2,
    },
  ];
}

async function growthPerStep(client: NatsConnection): Promise<number> {
  const perStep = async (count: number) => {
    const start = performance.now();
    await playRun(client, "many_steps", { count }, { steps: 2 * count });
    return (performance.now() - start) / count;
  };
  await perStep(1_000);
  const ratios: number[] = [];
  for (let round = 0; round < 3; round++) {
    const short = await perStep(1_000);
    ratios.push((await perStep(10_000)) / short);
  }
  return median(ratios);
}

/** Server that syncs every two minutes, NATS's default. */
async function rates(): Promise<Figure[]> {
  const data = await mkdtemp(join(tmpdir(), "reprise-bench-"));
  try {
    await using server = await startRelaxedServer();
    await using daemon = await startDaemonProcess({ args: ["--nats-url", server.url], data });
    const own = await server.connect();
    const client = await connect({ servers: daemon.url });
    await createPatterns(client);
    const raw = await rawPublish(own);
    const play = () => playRun(client, "three_steps");
    await throughput(1_500, 64, play);
    await throughput(5_000, 64, raw);
    const perSecond: { runs: number; raw: number }[] = [];
    for (let round = 0; round < rounds; round++) {
      perSecond.push({ raw: await throughput(10_000, 64, raw), runs: await throughput(1_500, 64, play) });
    }
    const steps: number[] = [];
    for (let round = 0; round < 3; round++) {
      const count = 100;
      steps.push(count * (await throughput(128, 64, () => playRun(client, "many_steps", { count }))));
    }
    await Promise.all([client.close(), own.close()]);
    const played = median(perSecond.map(({ runs }) => runs));
    const ratio = median(perSecond.map(({ runs, raw }) => runs / raw));
    return [
      {
        name: "three-step runs at 64 at once, relaxed sync",
        measured: played,
        unit: "runs/s",
        target: "≥ 1000",
        met: played >= 1_000,
        note: `one for ${(1 / ratio).toFixed(1)} raw publishes at 64 in flight`,
      },
      {
        name: "steps of runs at 64 at once, relaxed sync",
        measured: median(steps),
        unit: "steps/s",
        target: "≥ 4000",
        met: median(steps) >= 4_000,
      },
    ];
  } finally {
    await rm(data, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function recovery(): Promise<Figure[]> {
  await using daemon = await startDaemonProcess();
  const ids = await withClient(daemon, async (client) => {
    await createPatterns(client);
    const started = await Promise.all(Array.from({ length: openRuns }, () => startRun(client, "waiting")));
    await untilWaiting(client, started);
    return started;
  });
  await daemon.kill("SIGKILL");
  await daemon.restart();
  const since = performance.now();
  const milliseconds = await withClient(daemon, async (client) => {
    await untilWaiting(client, ids);
    return performance.now() - since;
  });
  return [
    {
      name: `${openRuns} open runs all running again after kill -9 and ready`,
      measured: milliseconds / 1000,
      unit: "s",
      target: "≤ 2",
      met: milliseconds <= 2_000,
    },
  ];
}

async function untilWaiting(client: NatsConnection, ids: readonly string[]): Promise<void> {
  const { ask } = askerOn(client);
  const isWaiting = async (run_id: string) => {
    const { doing = [] } = await ask<{ doing?: { what: string }[] }>("orchestration:status", { run_id });
    return doing.some(({ what }) => what.startsWith("AWAIT"));
  };
  await Promise.all(ids.map((id) => until(() => isWaiting(id), `the run ${id} to wait`, 60_000)));
}

async function rawPublish(connection: NatsConnection): Promise<() => Promise<unknown>> {
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "BENCH", subjects: ["bench.raw"], storage: StorageType.File });
  const client = jetstream(connection);
  const payload = JSON.stringify({ i: 1, filler: "x".repeat(100) });
  return () => client.publish("bench.raw", payload);
}

async function createPatterns(client: NatsConnection): Promise<void> {
  const { ask } = askerOn(client);
  for (const [name, strategy] of Object.entries(strategies)) {
    const content = JSON.stringify({ name, type: "orchestration", version: "1.0.0", orchestration_logic: { strategy } });
    await ask("composition:create", { type: "orchestration", name, content });
  }
}

async function startRun(client: NatsConnection, pattern: Strategy, inputs = {}, budget = {}): Promise<string> {
  return (await askerOn(client).ask<{ run_id: string }>("orchestration:start", { pattern, inputs, budget })).run_id;
}

async function playRun(client: NatsConnection, pattern: Strategy, inputs = {}, budget = {}): Promise<void> {
  const run_id = await startRun(client, pattern, inputs, budget);
  const status = await askerOn(client).ask<{ state: string; error?: unknown }>("orchestration:status", { run_id, wait: 50 });
  if (status.state !== "completed") throw new Error(JSON.stringify(status));
}

async function withClient<Result>(daemon: DaemonProcess, use: (client: NatsConnection) => Promise<Result>): Promise<Result> {
  const client = await connect({ servers: daemon.url });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}
