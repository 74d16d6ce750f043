/** How fast the policies choose and learn, and that training is felt by nobody. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { createPolicyModule } from "../../modules/policy/index.ts";
import type { Candidate } from "../../modules/policy/policies/policy.ts";
import { startDaemonProcess } from "../../test/harness/daemon-process.ts";
import { MemoryEventLog } from "../../test/harness/memory-log.ts";
import { createObjectStore, createStateStore, startModule } from "../../test/harness/module-context.ts";
import { startEcho } from "./echo-process.ts";
import type { Figure } from "./main.ts";
import { latency } from "./measure.ts";
import { type RelaxedServer, startRelaxedServer } from "./relaxed-server.ts";

const slot = "bench";
/** Their four features become 64 numbers each. */
const candidates = Array.from({ length: 50 }, (_, index) => ({
  id: `candidate-${index}`,
  features: { cost: index / 50, quality: (index * 7) % 50, tags: [`tag-${index % 5}`, `tag-${index % 7}`] },
}));
/** 64 features by name, each a number. */
const thoroughlyDescribed = candidates.map(({ id }, index) => ({
  id,
  features: Object.fromEntries(Array.from({ length: 64 }, (_, feature) => [`feature_${feature}`, ((index * feature) % 7) / 7])),
}));
const contextOf = (round: number) => ({ kind: `kind-${round % 8}`, size: round % 100, urgent: round % 2 === 0 });
const warmUp = 500;
const rounds = 2_000;
const joined = 20_000;
const trainedOn = 2_000;

export async function learningSpeed(): Promise<Figure[]> {
  return [
    await inProcess(candidates),
    await inProcess(thoroughlyDescribed, " of 64 named features"),
    await overNats(),
    await overRelaxedNats(),
    await joining(),
    await blocking(),
  ];
}

const atMost = (name: string, measured: number, unit: string, most: number, note: string): Figure => ({
  name,
  measured,
  unit,
  target: `≤ ${most}`,
  met: measured <= most,
  note,
});

/** The whole command but for the log, whose part is the disk's. */
async function inProcess(offered: readonly Candidate[], described = ""): Promise<Figure> {
  const module = createPolicyModule();
  await using started = await startModule(module);
  await learn(started, warmUp, offered);
  const select = module.commands["policy:select"];
  if (select === undefined) throw new Error("there is no policy:select");
  const context = { ...started.context, emit: async () => ({ id: "", seq: 0, duplicate: false }) };
  let round = 0;
  const ask = async () => {
    const id = `request-${round++}`;
    const input = select.input.parse({ slot, context: contextOf(round), candidates: offered });
    const meta = { id, correlation: id, hops: 0 };
    await select.handle(input, { state: started.state, context, caller: { kind: "client", id: "bench" }, meta, signal: context.signal });
  };
  const { p50, p99 } = await latency(rounds, ask);
  return atMost(
    `policy:select in process p50, 50 candidates${described}`,
    p50,
    "ms",
    0.2,
    `p99 ${p99.toFixed(2)} ms, after ${warmUp} outcomes`,
  );
}

/** Every selection is in the log before it is answered: no faster than a request and a publish that is stored. */
async function overNats(): Promise<Figure> {
  await using daemon = await startDaemonProcess();
  return await selecting(daemon, "logged with fsync");
}

async function overRelaxedNats(): Promise<Figure> {
  await using folder = await temporary();
  await using server = await startRelaxedServer();
  await using daemon = await startDaemonProcess({ args: ["--nats-url", server.url], data: folder.path });
  return await selecting(daemon, "relaxed sync", await rawPublish(server));
}

/** Of a message as large as the request, until the stream has stored it. */
async function rawPublish(server: RelaxedServer): Promise<string> {
  const connection = await server.connect();
  try {
    const manager = await jetstreamManager(connection);
    await manager.streams.add({ name: "bench", subjects: ["bench.stored"] });
    const stream = manager.jetstream();
    const { p50 } = await latency(rounds, () => stream.publish("bench.stored", requestOf(0)));
    return `, a raw publish ${p50.toFixed(2)} ms`;
  } finally {
    await connection.close();
  }
}

const requestOf = (round: number) => JSON.stringify({ slot, context: contextOf(round), candidates });

async function selecting({ url }: { readonly url: string }, how: string, alongside = ""): Promise<Figure> {
  await using _echo = await startEcho(url);
  const client = await connect({ servers: url });
  try {
    let round = 0;
    const raw = await latency(rounds, () => client.request("bench.echo", requestOf(round++)));
    const { p50, p99 } = await latency(rounds, () => client.request("policy:select", requestOf(round++)));
    const emit = await latency(rounds, () => client.request("event:emit", JSON.stringify({ event: "bench:said", data: { candidates } })));
    const beside = `a raw request of this size ${raw.p50.toFixed(2)} ms${alongside}, event:emit ${emit.p50.toFixed(2)} ms`;
    return atMost(`policy:select over NATS p50, 50 candidates, ${how}`, p50, "ms", 1, `p99 ${p99.toFixed(2)} ms; ${beside}`);
  } finally {
    await client.close();
  }
}

/** From the log into the experience and the serving policy, as after the loss of the database. */
async function joining(): Promise<Figure> {
  const log = new MemoryEventLog();
  await using folder = await temporary();
  {
    await using started = await startModule(createPolicyModule(), { log });
    await started.call("policy:configure", { slot, learn: [] });
    await learn(started, joined, candidates.slice(0, 10));
  }
  const begun = performance.now();
  await using again = await startModule(createPolicyModule(), { log, database: join(folder.path, "policy.sqlite") });
  await again.call("policy:select", { slot, candidates });
  const rate = (1_000 * joined) / (performance.now() - begun);
  const note = `${joined} selections of 10 candidates read again from the log and joined`;
  return { name: "outcomes joined and learned from", measured: rate, unit: "outcomes/s", target: "≥ 10000", met: rate >= 10_000, note };
}

/**
 * The longest that the event loop was kept from its next turn while a network was trained: in processor time of its own
 * thread, since on a busy machine the system keeps any thread waiting.
 */
async function blocking(): Promise<Figure> {
  await using started = await startModule(createPolicyModule(), { objects: createObjectStore(), state: createStateStore() });
  await started.call("policy:configure", { slot, learn: [] });
  await learn(started, trainedOn);
  const delays = monitorEventLoopDelay({ resolution: 1 });
  const turns = longestTurn();
  const begun = performance.now();
  delays.enable();
  await started.call("policy:train", { slot, policy: "kto" });
  delays.disable();
  const longest = turns.stop();
  const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
  const waited = `${(delays.percentile(99) / 1e6).toFixed(1)} ms late in 1 % of turns, whatever kept it`;
  const note = `kto, ${trainedOn} outcomes of 50 candidates in ${seconds} s; ${waited}`;
  return atMost("longest block of the event loop by a training", longest, "ms", 20, note);
}

/** Processor time of this thread between two ticks of a timer. */
function longestTurn(): { stop(): number } {
  const spent = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  };
  let longest = 0;
  let before = spent();
  const timer = setInterval(() => {
    const now = spent();
    longest = Math.max(longest, now - before);
    before = now;
  }, 1);
  return {
    stop() {
      clearInterval(timer);
      return longest;
    },
  };
}

async function learn(
  started: { call: (command: string, input: unknown) => Promise<unknown> },
  count: number,
  of: readonly Candidate[] = candidates,
): Promise<void> {
  for (let round = 0; round < count; round++) {
    const selection = { slot, context: contextOf(round), candidates: of };
    const { decision_id, choice } = (await started.call("policy:select", selection)) as { decision_id: string; choice: string };
    await started.call("policy:outcome", { decision_id, reward: choice.length + (round % 8) > 15 ? 1 : 0 });
  }
}

async function temporary(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "reprise-bench-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
