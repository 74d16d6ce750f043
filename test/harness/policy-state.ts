/** What a daemon's policies are, looked at past it: in the stream, the state store and the object store; and altered there. */
import assert from "node:assert/strict";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { ObjectStore, StateStore } from "../../daemon/module.ts";
import { openObjectStore } from "../../daemon/nats/object-store.ts";
import { loadSecret } from "../../daemon/nats/secret.ts";
import { openStateStore } from "../../daemon/nats/state-store.ts";
import { subjectsFor } from "../../daemon/nats/subjects.ts";
import { createSeal } from "../../daemon/seal.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { kinds } from "../../modules/policy/policies/kinds.ts";
import { optionsOf } from "../../modules/policy/serving/online.ts";
import type { Checkpoint, SlotState } from "../../modules/policy/serving/slot-state.ts";
import { connectAsDaemon, type DaemonProcess } from "./daemon-process.ts";
import { readStoredEvents, type StoredEvent } from "./stored-events.ts";
import { until } from "./until.ts";

export interface ListedSlot {
  readonly serving: string;
  readonly contender?: { readonly policy: string; readonly role: string };
  readonly before: readonly string[];
  readonly refused: readonly string[];
  readonly learn: readonly string[];
  readonly checkpoints: readonly Checkpoint[];
  readonly outcomes: number;
}

/** The stores of the module, opened with the daemon's own rights. */
export interface PolicyStores extends AsyncDisposable {
  readonly nats: NatsConnection;
  readonly objects: ObjectStore;
  readonly state: StateStore;
}

export const objectsBucket = "policy_objects";

export async function openPolicyStores(daemon: Pick<DaemonProcess, "url" | "data">): Promise<PolicyStores> {
  const nats = await connectAsDaemon(daemon);
  const client = jetstream(nats);
  const seal = createSeal(await loadSecret(client, subjectsFor()));
  return {
    nats,
    objects: openObjectStore(client, objectsBucket),
    state: openStateStore(client, "policy", seal),
    [Symbol.asyncDispose]: () => nats.close(),
  };
}

/** The slot becomes so, as far as the next start of the daemon knows. */
export async function alterSlot(state: StateStore, slot: string, change: (state: SlotState) => SlotState): Promise<void> {
  const key = `slot.${Buffer.from(slot).toString("base64url")}`;
  const found = await state.get<{ slot: string; state: SlotState }>(key);
  assert.ok(found, `${slot} has a state`);
  await state.put(key, { slot, state: change(found.value.state) });
}

export async function listSlot(client: NatsConnection, slot: string): Promise<ListedSlot> {
  const { slots } = await until(
    () =>
      client
        .request("policy:list", JSON.stringify({ slot }), { timeout: 5_000 })
        .then((reply) => reply.json<{ slots?: ListedSlot[] }>())
        .then((reply) => (reply.slots === undefined ? undefined : { slots: reply.slots }))
        .catch(() => undefined),
    "policy:list",
  );
  return slots[0] as ListedSlot;
}

/** Each outcome of the log once, the first of its decision, by slot. */
export function firstOutcomes(events: readonly StoredEvent[], slot: string): StoredEvent[] {
  const first = new Map<unknown, StoredEvent>();
  for (const event of events) {
    if (event.type !== "policy:outcome_recorded" || event.data.slot !== slot) continue;
    if (!first.has(event.data.decision_id)) first.set(event.data.decision_id, event);
  }
  return [...first.values()];
}

/**
 * While nobody chooses: what serves is what the log tells, the experience is that of the log, every checkpoint loads.
 * @param checked checkpoints that were loaded before
 */
export async function assertPoliciesSound(
  daemon: DaemonProcess,
  client: NatsConnection,
  slot: string,
  baseline: string,
  checked = new Set<string>(),
): Promise<ListedSlot> {
  let difference: unknown;
  // What a training or a comparison is just about to change, is told a little later.
  const listed = await until(
    async () => {
      const found = await listSlot(client, slot);
      try {
        assert.deepEqual(whatIsListed(found), whatIsTold(await readStoredEvents(daemon), slot, baseline));
        return found;
      } catch (error) {
        difference = error;
        return undefined;
      }
    },
    "the state that the log tells",
    30_000,
  ).catch((error: unknown) => Promise.reject(difference ?? error));

  const events = await readStoredEvents(daemon);
  const outcomes = firstOutcomes(events, slot);
  const { slots } = (await client.request("policy:stats", JSON.stringify({ slot }), { timeout: 20_000 })).json<{ slots: Stats[] }>();
  assert.deepEqual(rounded(slots[0]), rounded(statsOf(events, outcomes, slot)), "the experience is that of the log");
  assert.equal(listed.outcomes, outcomes.length);

  await using stores = await openPolicyStores(daemon);
  for (const { policy, sha256, feature_spec } of listed.checkpoints) {
    assert.equal(feature_spec, defaultSpec.version);
    if (checked.has(sha256)) continue;
    const bytes = await stores.objects.get(sha256);
    assert.ok(bytes, `the bytes of ${policy}@${sha256} are there`);
    assert.doesNotThrow(() => kinds[policy]?.load(bytes, optionsOf(slot, defaultSpec)), `${policy}@${sha256} loads`);
    checked.add(sha256);
  }
  return listed;
}

interface Stats {
  readonly selections: number;
  readonly outcomes: number;
  readonly candidates: readonly { readonly id: string; readonly outcomes: number; readonly mean_reward: number }[];
}

const rounded = (stats: Stats | undefined) =>
  stats && { ...stats, candidates: stats.candidates.map((one) => ({ ...one, mean_reward: one.mean_reward.toFixed(9) })) };

function statsOf(events: readonly StoredEvent[], outcomes: readonly StoredEvent[], slot: string): Stats & { slot: string } {
  const candidates = [...Map.groupBy(outcomes, ({ data }) => String(data.choice))]
    .map(([id, own]) => ({
      id,
      outcomes: own.length,
      mean_reward: own.reduce((sum, { data }) => sum + Number(data.reward), 0) / own.length,
    }))
    .sort((left, right) => (left.id < right.id ? -1 : 1));
  const selections = events.filter(({ type, data }) => type === "policy:selected" && data.slot === slot).length;
  return { slot, selections, outcomes: outcomes.length, candidates };
}

const keptCheckpoints = 10;

const whatIsListed = ({ serving, contender, before, refused, checkpoints }: ListedSlot) => ({
  serving,
  contender: contender && [contender.policy, contender.role],
  before,
  refused,
  newest: checkpoints.slice(0, keptCheckpoints).map(({ sha256 }) => sha256),
});

/** Folds what was told of promotions, rollbacks and trainings. */
function whatIsTold(events: readonly StoredEvent[], slot: string, baseline: string): ReturnType<typeof whatIsListed> {
  let [serving, trial] = [baseline, undefined as string | undefined];
  let [before, refused, trained]: string[][] = [[], [], []];
  for (const { type, data } of events) {
    if (data.slot !== slot) continue;
    if (type === "policy:trained") {
      const { sha256 } = data.checkpoint as Checkpoint;
      trained = [sha256, ...(trained as string[]).filter((one) => one !== sha256)];
    } else if (type === "policy:promoted" && data.stage === "trial") {
      trial = String(data.policy);
    } else if (type === "policy:promoted") {
      before = [...(before as string[]), serving];
      [serving, trial] = [String(data.policy), undefined];
    } else if (type === "policy:rolled_back") {
      refused = [...(refused as string[]), String(data.from)];
      if (data.from !== trial) {
        serving = String(data.to);
        before = (before as string[]).slice(0, -1);
      }
      trial = undefined;
    }
  }
  const guard = before?.at(-1);
  const contender = trial !== undefined ? [trial, "trial"] : guard !== undefined ? [guard, "guard"] : undefined;
  return { serving, contender, before: before ?? [], refused: refused ?? [], newest: (trained ?? []).slice(0, keptCheckpoints) };
}
