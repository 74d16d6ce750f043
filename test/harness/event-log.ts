/** The event log on a real server of its own, without the rest of the daemon. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import pino from "pino";
import { DeadLetters } from "../../daemon/events/dead-letters.ts";
import { EventLog } from "../../daemon/events/event-log.ts";
import { newId } from "../../daemon/events/ids.ts";
import { Publisher } from "../../daemon/events/publisher.ts";
import { connectTo } from "../../daemon/nats/connection.ts";
import { ensureStreams } from "../../daemon/nats/streams.ts";
import { type Subjects, subjectsFor } from "../../daemon/nats/subjects.ts";
import { createSeal } from "../../daemon/seal.ts";
import { startTestServer } from "./nats-server.ts";

export interface TestLog extends AsyncDisposable {
  readonly folder: string;
  readonly connection: NatsConnection;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly subjects: Subjects;
  readonly publisher: Publisher;
  readonly log: EventLog;
  readonly deadLetters: DeadLetters;
  /** Appends a plain event and returns its id. */
  append(type: string, data?: unknown): Promise<string>;
}

export async function startTestLog(options: { grouping?: boolean } = {}): Promise<TestLog> {
  const resources = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "reprise-test-"));
  resources.defer(() => rm(folder, { recursive: true, force: true }));
  const server = resources.use(await startTestServer(join(folder, "nats")));
  const { nats: connection } = resources.use(await connectTo(server));
  const client = jetstream(connection);
  const manager = await jetstreamManager(connection);
  const subjects = subjectsFor();
  const { logIdentity: identity } = await ensureStreams(manager, subjects);
  const publisher = resources.use(new Publisher(connection, { grouping: options.grouping ?? true }));
  const logger = pino({ level: "silent" });
  const log = new EventLog({ client, manager, publisher, subjects, identity, secret: "test", largestEvent: 1_048_576, log: logger });
  return {
    folder,
    connection,
    client,
    manager,
    subjects,
    publisher,
    log,
    deadLetters: new DeadLetters({ client, manager, subjects, seal: createSeal("test") }),
    async append(type, data = null) {
      const id = newId();
      const event = { id, type, time: new Date().toISOString(), source: "test", data, correlation: id, hops: 0 };
      await log.append({ event, deduplicate: false });
      return id;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
