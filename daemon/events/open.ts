/** Puts the event bus together: publisher → log → index → dead letters → delivery → bus → schedules. */
import { join } from "node:path";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import type { Logger } from "pino";
import { CodedError } from "../errors.ts";
import type { Metrics } from "../metrics.ts";
import type { Expressions } from "../module.ts";
import type { Connection } from "../nats/connection.ts";
import type { Subjects } from "../nats/subjects.ts";
import { probeSync } from "../nats/sync-probe.ts";
import { createSeal } from "../seal.ts";
import { DeadLetters } from "./dead-letters.ts";
import { Delivery } from "./delivery.ts";
import { type Commands, EventBus } from "./event-bus.ts";
import { EventIndex } from "./event-index.ts";
import { EventLog } from "./event-log.ts";
import { Publisher } from "./publisher.ts";
import { Schedules } from "./schedules.ts";
import { deliveryPauses } from "./work-queue.ts";

export interface EventServicesOptions {
  readonly connection: Connection;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly subjects: Subjects;
  /** Identity of the event log. */
  readonly identity: string;
  readonly secret: string;
  /** The data folder. */
  readonly data: string;
  /** The server is known to sync every write. */
  readonly syncsEveryWrite: boolean;
  readonly commands: Commands;
  readonly expressions: Expressions;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface EventServices extends AsyncDisposable {
  readonly bus: EventBus;
  readonly eventLog: EventLog;
  readonly delivery: Delivery;
  /** From now on events reach their listeners and schedules fire: the modules can answer. */
  begin(): Promise<void>;
  /** Nothing more is delivered or fired; resolves when what is under way has ended. */
  drain(): Promise<void>;
}

/** Bytes; replies of `event:query` and NATS's own default limit are made for it. */
const largestEvent = 1024 * 1024;

export async function openEvents(options: EventServicesOptions): Promise<EventServices> {
  const { connection, client, manager, subjects, identity, secret, data, commands, expressions, metrics, log } = options;
  const { nats } = connection;
  const resources = new AsyncDisposableStack();
  // Where each write is synced, publishes that share a batch share the sync.
  const publisher = resources.use(new Publisher(nats, { grouping: options.syncsEveryWrite || (await measureSync(options)) }));
  connection.onStatus((connected) => publisher.setConnected(connected));
  const maximum = Math.min(nats.info?.max_payload ?? largestEvent, largestEvent);
  const eventLog = new EventLog({ client, manager, publisher, subjects, identity, secret, largestEvent: maximum, log });
  const index = resources.use(new EventIndex({ file: join(data, "events.sqlite"), log: eventLog, logger: log }));
  const seal = createSeal(secret);
  const deadLetters = new DeadLetters({ client, manager, subjects, seal });

  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => {}); // whoever waits for it is told; nobody may
  const delivery = resources.use(
    new Delivery({ client, manager, subjects, deadLetters, log, ready: ready.promise, metrics, pauses: deliveryPauses }),
  );
  const bus = new EventBus({ log: eventLog, index, deadLetters, delivery, expressions, commands });
  const schedules = resources.use(
    new Schedules({ client, manager, subjects, deadLetters, seal, log, fire: (scheduled, signal) => bus.fire(scheduled, signal) }),
  );
  bus.schedules = schedules;
  resources.defer(() => ready.reject(new CodedError("SHUTTING_DOWN", "the daemon did not start")));

  return {
    bus,
    eventLog,
    delivery,
    async begin() {
      await index.catchUp(); // ids of before are recognised from the first emit on
      ready.resolve();
      await schedules.start();
    },
    async drain() {
      await Promise.all([schedules[Symbol.asyncDispose](), delivery[Symbol.asyncDispose]()]);
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

async function measureSync({ client, manager, subjects, log }: EventServicesOptions): Promise<boolean> {
  const probe = await probeSync(client, manager, subjects.probeStream);
  if (probe.syncsEveryWrite) log.info(probe, "by its timing, the NATS server syncs every write");
  else
    log.warn(probe, "by its timing, the NATS server does not sync every write: a power failure can lose accepted events (sync_interval)");
  return probe.syncsEveryWrite;
}
