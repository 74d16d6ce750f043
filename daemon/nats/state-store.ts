/** A module's small durable state: one key-value bucket, values as JSON, compare-and-set by revision. */
import { type KV, Kvm } from "@nats-io/kv";
import { JetStreamApiError, type JetStreamClient } from "@nats-io/jetstream";
import type { StateStore } from "../module.ts";

const wrongLastSequence = 10071;

/** The bucket is made at first use: most modules keep no state. */
export function openStateStore(client: JetStreamClient, bucket: string): StateStore {
  let opened: Promise<KV> | undefined;
  const store = () => {
    opened ??= new Kvm(client).create(bucket, { history: 1 });
    return opened;
  };
  return {
    async get<Value>(key: string) {
      const entry = await (await store()).get(key);
      if (entry === null || entry.operation !== "PUT") return undefined;
      return { value: entry.json<Value>(), revision: entry.revision };
    },
    async put(key, value, revision) {
      const kv = await store();
      const payload = JSON.stringify(value);
      try {
        if (revision === undefined) return await kv.put(key, payload);
        return revision === 0 ? await kv.create(key, payload) : await kv.update(key, payload, revision);
      } catch (error) {
        if (error instanceof JetStreamApiError && error.code === wrongLastSequence) return undefined;
        throw error;
      }
    },
    async delete(key) {
      await (await store()).purge(key);
    },
    async entries<Value>() {
      const kv = await store();
      const found = new Map<string, Value>();
      for await (const key of await kv.keys()) {
        const entry = await kv.get(key);
        if (entry !== null && entry.operation === "PUT") found.set(key, entry.json<Value>());
      }
      return found;
    },
  };
}
