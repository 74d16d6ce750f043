/**
 * A module's large contents: one NATS object bucket, each object named by the SHA-256 of its bytes.
 *
 * 1. Putting bytes that are there makes them young: what says where they are is written again.
 * 2. What is deleted is first marked as deleted, by compare-and-set, so that of a deletion and a put at the same time one sees the
 *    other. A deletion that is cut short after the mark is listed and finished later.
 */
import { createHash } from "node:crypto";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { type ObjectStore as Bucket, Objm } from "@nats-io/obj";
import { headers } from "@nats-io/transport-node";
import type { ObjectStore, StoredObject } from "../module.ts";
import { isWrongLastSequence } from "./api-errors.ts";
import { readStored } from "./stored-messages.ts";
import { objectInfo, objectParts, objectStream } from "./subjects.ts";

const partsAtOnce = 64;
const infosAtOnce = 1_000;
const bytesAtOnce = 8 * 1024 * 1024;

/** What the bucket keeps about an object, as far as it is used here. */
interface Info {
  readonly name: string;
  /** Names its parts. */
  readonly nuid: string;
  readonly size: number;
  readonly deleted?: boolean;
}

/** The bucket is made at first use. An object whose bytes do not have its hash does not exist. */
export function openObjectStore(client: JetStreamClient, bucket: string): ObjectStore {
  const stream = objectStream(bucket);
  let opened: Promise<{ objects: Bucket; manager: JetStreamManager }> | undefined;
  const open = () => {
    opened ??= openBucket(client, bucket).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };

  async function infoOf(sha256: string): Promise<{ info: Info; revision: number } | undefined> {
    const { manager } = await open();
    const stored = await manager.direct.getMessage(stream, { last_by_subj: objectInfo(bucket, sha256) });
    return stored === null ? undefined : { info: stored.json<Info>(), revision: stored.seq };
  }

  /** In place of what is at that revision. @returns the new revision, undefined when it was replaced meanwhile */
  async function replace(info: Info, revision: number): Promise<number | undefined> {
    const expected = headers();
    expected.set("Nats-Rollup", "sub");
    expected.set("Nats-Expected-Last-Subject-Sequence", String(revision));
    try {
      return (await client.publish(objectInfo(bucket, info.name), JSON.stringify(info), { headers: expected })).seq;
    } catch (error) {
      if (isWrongLastSequence(error)) return undefined;
      throw error;
    }
  }

  async function bytesOf(sha256: string, info: Info | undefined): Promise<Uint8Array | undefined> {
    if (info === undefined || info.deleted) return undefined;
    const { manager } = await open();
    const bytes = await readParts(manager, stream, objectParts(bucket, info.nuid), info.size);
    return hashOf(bytes) === sha256 ? bytes : undefined;
  }

  async function* infos(): AsyncGenerator<{ info: Info; revision: number; time: number }> {
    const { manager } = await open();
    for (let seq = 1; ; ) {
      const page = await readStored(manager, stream, { seq, subject: objectInfo(bucket), count: infosAtOnce, bytes: bytesAtOnce });
      for (const stored of page) yield { info: stored.json<Info>(), revision: stored.seq, time: stored.time.getTime() };
      const last = page.at(-1);
      if (last === undefined || last.pending === 0) return;
      seq = last.seq + 1;
    }
  }

  return {
    async put(bytes) {
      const sha256 = hashOf(bytes);
      const { objects } = await open();
      for (;;) {
        const known = await infoOf(sha256);
        if (known === undefined || (await bytesOf(sha256, known.info)) === undefined) {
          await objects.putBlob({ name: sha256 }, bytes);
          return sha256;
        }
        if ((await replace(known.info, known.revision)) !== undefined) return sha256;
        // Whoever was first has put it as well, or has deleted it.
        if ((await infoOf(sha256))?.info.deleted === false) return sha256;
      }
    },
    get: async (sha256) => bytesOf(sha256, (await infoOf(sha256))?.info),
    async list(before) {
      const found: StoredObject[] = [];
      for await (const { info, revision, time } of infos()) {
        if (time < before) found.push({ sha256: info.name, bytes: info.size, revision });
      }
      return found;
    },
    async delete(sha256, listed) {
      const { manager } = await open();
      const known = await infoOf(sha256);
      if (known === undefined || (listed !== undefined && listed.revision !== known.revision)) return false;
      const { info } = known;
      const mark = info.deleted ? known.revision : await replace({ ...info, deleted: true }, known.revision);
      if (mark === undefined) return false;
      await manager.streams.purge(stream, { filter: objectParts(bucket, info.nuid) });
      await manager.streams.purge(stream, { filter: objectInfo(bucket, sha256), seq: mark + 1 });
      return true;
    },
    async tidy(before) {
      const { manager } = await open();
      const { state } = await manager.streams.info(stream, { subjects_filter: objectParts(bucket) });
      // The parts were listed first, and their object follows them: what is finished by now is named.
      const unnamed = new Set(Object.keys(state.subjects ?? {}));
      for await (const { info } of infos()) unnamed.delete(objectParts(bucket, info.nuid));
      let removed = 0;
      for (const parts of unnamed) {
        const last = await manager.direct.getMessage(stream, { last_by_subj: parts });
        if (last === null || last.time.getTime() >= before) continue;
        await manager.streams.purge(stream, { filter: parts });
        removed++;
      }
      return removed;
    },
  };
}

async function openBucket(client: JetStreamClient, bucket: string): Promise<{ objects: Bucket; manager: JetStreamManager }> {
  return { objects: await new Objm(client).create(bucket), manager: await client.jetstreamManager(false) };
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
