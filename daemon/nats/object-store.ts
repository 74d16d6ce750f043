/** A module's large contents: one NATS object bucket, each object named by the SHA-256 of its bytes. */
import { createHash } from "node:crypto";
import type { JetStreamClient } from "@nats-io/jetstream";
import { type ObjectStore as Bucket, type ObjectResult, Objm } from "@nats-io/obj";
import type { ObjectStore } from "../module.ts";

/** Milliseconds after which an object of which a part is missing is given up: the server waits for it for ever. */
const readTime = 10_000;

/** The bucket is made at first use. An object whose bytes do not have its hash does not exist. */
export function openObjectStore(client: JetStreamClient, bucket: string): ObjectStore {
  let opened: Promise<Bucket> | undefined;
  const store = () => {
    opened ??= new Objm(client).create(bucket).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };

  async function get(sha256: string): Promise<Uint8Array | undefined> {
    const found = await (await store()).get(sha256);
    if (found === null) return undefined;
    const bytes = await readAll(found);
    return bytes !== undefined && hashOf(bytes) === sha256 ? bytes : undefined;
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

/** @returns what could be read, which need not be all; undefined when the parts do not fit together */
async function readAll({ data, error }: ObjectResult): Promise<Uint8Array | undefined> {
  error.catch(() => {}); // the reader below meets it too
  const reader = data.getReader();
  const overdue = setTimeout(() => void reader.cancel(), readTime);
  const parts: Uint8Array[] = [];
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) parts.push(part.value);
    return Buffer.concat(parts);
  } catch (problem) {
    // What goes wrong with NATS has an error class of its own there; damage is reported as a plain Error.
    if (problem instanceof Error && problem.constructor === Error) return undefined;
    throw problem;
  } finally {
    clearTimeout(overdue);
  }
}

const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
