/** A module's small durable state: one key-value bucket, values as JSON, compare-and-set by revision. */
import type { JetStreamClient } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { StateStore } from "../module.ts";
import type { Seal } from "../seal.ts";
import { isWrongLastSequence } from "./api-errors.ts";

/** The bucket is made at first use: most modules keep no state. Entries that are not sealed by us do not exist. */
export function openStateStore(client: JetStreamClient, bucket: string, seal: Seal): StateStore {
  const placeOf = (key: string) => `${bucket}/${key}`;
  let opened: Promise<KV> | undefined;
  const store = () => {
    opened ??= new Kvm(client).create(bucket, { history: 1 });
    return opened;
  };
  return {
    async get<Value>(key: string) {
      const entry = await (await store()).get(key);
      if (entry === null || entry.operation !== "PUT") return undefined;
      const value = seal.open<Value>(placeOf(key), entry.string());
      return value === undefined ? undefined : { value, revision: entry.revision };
    },
    async put(key, value, revision) {
      const kv = await store();
      const payload = seal.close(placeOf(key), value);
      try {
        if (revision === undefined) return await kv.put(key, payload);
        return revision === 0 ? await kv.create(key, payload) : await kv.update(key, payload, revision);
      } catch (error) {
        if (isWrongLastSequence(error)) return undefined;
        throw error;
      }
    },
    async delete(key, revision) {
      try {
        await (await store()).purge(key, revision === undefined ? {} : { previousSeq: revision });
      } catch (error) {
        if (!isWrongLastSequence(error)) throw error;
      }
    },
    async entries<Value>() {
      const kv = await store();
      const found = new Map<string, Value>();
      for await (const key of await kv.keys()) {
        const entry = await kv.get(key);
        const value = entry?.operation === "PUT" ? seal.open<Value>(placeOf(key), entry.string()) : undefined;
        if (value !== undefined) found.set(key, value);
      }
      return found;
    },
  };
}
