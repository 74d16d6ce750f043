/** The installation's secret: made once, kept in NATS beside what it protects, in a bucket that clients may not read. */
import { randomBytes } from "node:crypto";
import { JetStreamApiError, type JetStreamClient } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { Subjects } from "./subjects.ts";

const key = "secret";

/** @returns 64 hexadecimal digits */
export async function loadSecret(client: JetStreamClient, { secretBucket }: Subjects): Promise<string> {
  const bucket = await new Kvm(client).create(secretBucket, { history: 1 });
  const kept = await bucket.get(key);
  if (kept !== null) return kept.string();
  await bucket.create(key, randomBytes(32).toString("hex")).catch((error: unknown) => {
    if (!(error instanceof JetStreamApiError)) throw error; // another daemon was faster
  });
  const made = await bucket.get(key);
  if (made === null) throw new Error(`the bucket ${secretBucket} does not keep what is put there`);
  return made.string();
}
