/**
 * Assembles the daemon: owner lock → NATS → streams → event bus → repository → modules → commands → HTTP, and takes it down
 * in reverse order.
 */
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { jetstream } from "@nats-io/jetstream";
import type { Logger } from "pino";
import { type Config, ConfigError, settingsOfModules } from "./config.ts";
import { CodedError } from "./errors.ts";
import { consequenceOf } from "./events/envelope.ts";
import { openEvents } from "./events/open.ts";
import { Publisher } from "./events/publisher.ts";
import { createExpressions } from "./expressions/expressions.ts";
import { makeFolder } from "./folders.ts";
import { openRepository } from "./git/repository.ts";
import { seedRepository } from "./git/seed.ts";
import { type Health, startHttpServer } from "./http.ts";
import { createMetrics, registerProcessMetrics } from "./metrics.ts";
import type { Module } from "./module.ts";
import { contextFor, type SharedServices } from "./module-context.ts";
import { discoverModules, startModules } from "./module-host.ts";
import { matches } from "./names.ts";
import { openAgentNetwork } from "./nats/agent-protocol/network.ts";
import { serveCommands } from "./nats/command-service.ts";
import { connectTo, type Server, startServer } from "./nats/connection.ts";
import { openObjectStore } from "./nats/object-store.ts";
import { openRunJournal } from "./nats/run-journal.ts";
import { loadSecret } from "./nats/secret.ts";
import { openStateStore } from "./nats/state-store.ts";
import { assertServerVersion, ensureStreams, openManager } from "./nats/streams.ts";
import { subjectsFor } from "./nats/subjects.ts";
import { acquireOwnerLock } from "./owner-lock.ts";
import { packageVersion, projectFolder } from "./project.ts";
import { Router } from "./router.ts";
import { createSeal } from "./seal.ts";

export interface Daemon extends AsyncDisposable {
  readonly natsUrl: string;
  readonly httpUrl: string;
}

/** Milliseconds that commands and deliveries under way get to finish at a stop. */
const drainTime = 2_000;

/**
 * Starts a daemon and resolves when it is ready.
 * @param loading the modules to run; by default all that are in `modules/`
 * @throws OwnedElsewhereError, ConfigError, ModuleError, or an Error that says what is missing
 */
export async function startDaemon(
  config: Config,
  log: Logger,
  signal: AbortSignal,
  loading: Promise<readonly Module[]> = discoverModules(join(projectFolder, "modules")),
): Promise<Daemon> {
  const resources = new AsyncDisposableStack();
  try {
    return await assemble(config, log, signal, loading, resources);
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

async function assemble(
  config: Config,
  log: Logger,
  signal: AbortSignal,
  loading: Promise<readonly Module[]>,
  resources: AsyncDisposableStack,
): Promise<Daemon> {
  let phase: "starting" | "ready" | "stopping" = "starting";
  await makeFolder(config.data, 0o700).catch((cause: Error) => {
    throw new ConfigError(`The data folder ${config.data} cannot be used: ${cause.message}`, { cause });
  });
  const lock = resources.use(await acquireOwnerLock(join(config.data, "owner.lock"), { purpose: "data folder" }));
  const subjects = subjectsFor(config.prefix);

  // Three things that do not need each other: the modules' code, the NATS server, the repository.
  const serving = startServer(config, subjects, { loading, log, signal });
  const opening = openRepository(config.compositions);
  const [loaded, served, opened] = await Promise.allSettled([loading, serving, opening]);
  if (served.status === "fulfilled") resources.use(served.value);
  if (opened.status === "fulfilled") resources.use(opened.value);
  const modules = settled(loaded);
  const settings = settingsOfModules(config.sections, modules);
  const server: Server = settled(served);
  const repository = settled(opened);

  const connection = resources.use(await connectTo(server));
  const { nats } = connection;
  assertServerVersion(nats.info?.version ?? "unknown");
  const client = jetstream(nats);
  const manager = await openManager(nats);
  const { logIdentity } = await ensureStreams(manager, subjects);
  const secret = await loadSecret(client, subjects);
  const seal = createSeal(secret);
  connection.onStatus((connected) => {
    log[connected ? "info" : "warn"]({ server: server.url }, connected ? "connected to NATS" : "the connection to NATS is lost");
  });

  const expressions = resources.use(createExpressions({ log }));
  const stopping = new AbortController();
  const metrics = createMetrics();
  resources.use(registerProcessMetrics(metrics));
  metrics.observed("reprise_nats_connected", "gauge", "1 while connected to NATS.", () => Number(connection.connected));
  const router = new Router({ signal: stopping.signal, metrics });
  const events = resources.use(
    await openEvents({
      connection,
      client,
      manager,
      subjects,
      identity: logIdentity,
      secret,
      data: config.data,
      syncsEveryWrite: server.isOwn,
      commands: router,
      expressions,
      metrics,
      log,
    }),
  );

  await seedRepository(repository, { compositions: join(projectFolder, "compositions"), agents: join(projectFolder, "agents") });
  const journalPublisher = resources.use(new Publisher(nats, { grouping: false }));
  connection.onStatus((connected) => journalPublisher.setConnected(connected));
  const shared: SharedServices = {
    router,
    bus: events.bus,
    eventLog: events.eventLog,
    delivery: events.delivery,
    expressions,
    repository,
    journal: openRunJournal({ publisher: journalPublisher, manager, subjects, seal }),
    agentNetwork: openAgentNetwork({ nats, subjects, version: packageVersion, log }),
    log,
    signal: stopping.signal,
    data: config.data,
    settings,
    stateFor: (module) => openStateStore(client, subjects.bucket(module), seal),
    objectsFor: (module) => openObjectStore(client, subjects.bucket(`${module}_objects`)),
  };
  const host = resources.use(await startModules({ modules, router, log, contextFor: (module) => contextFor(module, shared) }));
  for (const { module, context, state } of host.running) {
    const listens = Object.entries(module.listens ?? {});
    if (listens.length === 0) continue;
    await events.delivery.listen({
      name: module.name,
      patterns: listens.map(([pattern]) => pattern),
      handle: (event) => handlerFor(listens, event.type)(event, { state, context, meta: consequenceOf(event) }),
    });
  }
  await events.begin();
  const service = await serveCommands({ connection: nats, router, subjects, version: packageVersion, log });

  const health = (): Health => {
    const reasons = [
      ...(connection.connected ? [] : ["not connected to NATS"]),
      ...[server.problem, repository.problem].filter((problem) => problem !== undefined),
    ];
    if (phase === "ready" && reasons.length > 0) return { status: "degraded", reasons };
    return { status: phase };
  };
  const http = resources.use(await startHttpServer({ port: config.httpPort, health, metrics, log }));

  const place = join(config.data, "daemon.json");
  await writeFile(`${place}.new`, `${JSON.stringify({ pid: process.pid, nats: server.url, http: http.url })}\n`);
  await rename(`${place}.new`, place);
  resources.defer(() => rm(place, { force: true }));
  await lock.describe({ url: server.url });
  phase = "ready";

  return {
    natsUrl: server.url,
    httpUrl: http.url,
    async [Symbol.asyncDispose]() {
      if (phase === "stopping") return;
      phase = "stopping";
      await Promise.race([Promise.all([service.stop(), events.drain()]), pause(drainTime, undefined, { ref: false })]);
      stopping.abort(new CodedError("SHUTTING_DOWN", "the daemon stops"));
      await resources.disposeAsync();
    },
  };
}

function handlerFor<Handler>(listens: readonly [pattern: string, handler: Handler][], type: string): Handler {
  const found = listens.find(([pattern]) => matches(pattern, type));
  if (found === undefined) throw new Error(`no handler for ${type}`);
  return found[1];
}

function settled<Value>(result: PromiseSettledResult<Value>): Value {
  if (result.status === "rejected") throw result.reason;
  return result.value;
}
