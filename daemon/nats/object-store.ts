/** A module's large contents: one NATS object bucket, each object named by the SHA-256 of its bytes. */
import { createHash } from "node:crypto";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { type ObjectStore as Bucket, Objm } from "@nats-io/obj";
import type { ObjectStore } from "../module.ts";
import { readStored } from "./stored-messages.ts";
import { objectParts, objectStream } from "./subjects.ts";

const partsAtOnce = 64;
const bytesAtOnce = 8 * 1024 * 1024;

/** The bucket is made at first use. An object whose bytes do not have its hash does not exist. */
export function openObjectStore(client: JetStreamClient, bucket: string): ObjectStore {
  let opened: Promise<Bucket> | undefined;
  let manager: Promise<JetStreamManager> | undefined;
  const store = () => {
    opened ??= new Objm(client).create(bucket).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };

  async function get(sha256: string): Promise<Uint8Array | undefined> {
    const info = await (await store()).info(sha256);
    if (info === null || info.deleted) return undefined;
    manager ??= client.jetstreamManager(false);
    const bytes = await readParts(await manager, objectStream(bucket), objectParts(bucket, info.nuid), info.size);
    return hashOf(bytes) === sha256 ? bytes : undefined;
  }

  return {
    async put(bytes) {
      const sha256 = hashOf(bytes);
      if ((await get(sha256)) === undefined) await (await store()).putBlob({ name: sha256 }, bytes);
      return sha256;
    },
    get,
    async delete(sha256) {
      const objects = await store();
      const known = await objects.info(sha256);
      if (known !== null && !known.deleted) await objects.delete(sha256);
    },
  };
}

/**
 * Without the library's reader, which leaves a consumer behind for five minutes each time.
 * @returns what there is, which need not be all
 */
async function readParts(manager: JetStreamManager, stream: string, subject: string, size: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let seq = 1, length = 0; length < size; ) {
    const read = await readStored(manager, stream, { seq, subject, count: partsAtOnce, bytes: bytesAtOnce });
    const last = read.at(-1);
    if (last === undefined) break;
    for (const { data } of read) {
      parts.push(data);
      length += data.length;
    }
    seq = last.seq + 1;
  }
  return Buffer.concat(parts);
}

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
