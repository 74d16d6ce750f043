/** The daemon's streams: created at first start, their needed features switched on, a server that lacks one refused by name. */
import {
  DiscardPolicy,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { newId } from "../events/ids.ts";
import { unlessMissing } from "./api-errors.ts";
import { isNewEnough, oldestVersion, parseVersion } from "./server-version.ts";
import type { Subjects } from "./subjects.ts";

const nanosecondsPerMinute = 60_000_000_000;
/** How long the server itself remembers ids; the event index knows older ones. */
const duplicateWindow = 10 * nanosecondsPerMinute;

/** Metadata key that tells one log from another, however its sequences look. */
const identityKey = "reprise.log";

/** @throws Error naming the version when the server is too old */
export function assertServerVersion(version: string): void {
  const parsed = parseVersion(version);
  if (parsed !== undefined && isNewEnough(parsed)) return;
  throw new Error(`the NATS server is ${version}; Reprise needs ${oldestVersion.join(".")} or newer (atomic batches and schedules)`);
}

/** @throws Error when the server has no JetStream, or none for this user */
export async function openManager(connection: NatsConnection): Promise<JetStreamManager> {
  try {
    return await jetstreamManager(connection);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Reprise needs JetStream, which the NATS server does not offer (nats-server -js): ${reason}`, { cause });
  }
}

/** Ensures the four streams of DESIGN §4. @returns the identity of the event log */
export async function ensureStreams(manager: JetStreamManager, subjects: Subjects): Promise<{ logIdentity: string }> {
  const { streams, captured } = subjects;
  const common = {
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    allow_direct: true,
    duplicate_window: duplicateWindow,
  };
  const events = await ensure(manager, {
    ...common,
    name: streams.events,
    subjects: [captured.events],
    allow_atomic: true,
    metadata: { [identityKey]: newId() },
  });
  await ensure(manager, { ...common, name: streams.runs, subjects: [captured.runs], discard: DiscardPolicy.New });
  await ensure(manager, { ...common, name: streams.schedules, subjects: [captured.schedules], allow_msg_schedules: true });
  await ensure(manager, { ...common, name: streams.dead, subjects: [captured.dead], discard: DiscardPolicy.New });

  const logIdentity = events.config.metadata?.[identityKey];
  if (logIdentity === undefined)
    throw new Error(`the stream ${streams.events} was not made by Reprise: it lacks the metadata ${identityKey}`);
  return { logIdentity };
}

type WantedStream = Partial<StreamConfig> & { name: string; subjects: string[] };

/** Creates the stream, or switches on what an existing one lacks; limits that an operator set are left alone. */
async function ensure(manager: JetStreamManager, wanted: WantedStream): Promise<StreamInfo> {
  const existing = await manager.streams.info(wanted.name).catch(unlessMissing);
  const info = existing === undefined ? await manager.streams.add(wanted as StreamConfig) : await complete(manager, existing, wanted);
  for (const feature of ["allow_atomic", "allow_msg_schedules", "allow_direct"] as const) {
    if (wanted[feature] === true && info.config[feature] !== true) {
      throw new Error(`the NATS server silently dropped ${feature} from the stream ${wanted.name}: it is too old`);
    }
  }
  return info;
}

async function complete(manager: JetStreamManager, existing: StreamInfo, wanted: WantedStream): Promise<StreamInfo> {
  const lacking = (["allow_atomic", "allow_msg_schedules", "allow_direct"] as const).filter(
    (feature) => wanted[feature] === true && existing.config[feature] !== true,
  );
  if (lacking.length === 0) return existing;
  return manager.streams.update(wanted.name, Object.fromEntries(lacking.map((feature) => [feature, true])));
}
