/**
 * A load of choosers that do what users are told: each repeats a selection with the same id until it is answered, and its outcome
 * until that is acknowledged.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { until } from "./until.ts";

export interface PolicyLoad {
  /** Decisions whose outcome was acknowledged. */
  readonly joined: readonly string[];
  /** What the requests were answered, by their ids. */
  readonly answered: ReadonlyMap<string, string>;
  /** Resolves once no chooser is in between. */
  rest(): Promise<void>;
  goOn(): void;
  finish(): Promise<void>;
}

/** Red is right by day and green by night, in every slot. */
export const lamps = [{ id: "red" }, { id: "green" }];

export function startPolicyLoad(client: NatsConnection, slots: readonly string[], choosers = 8): PolicyLoad {
  const load = randomUUID();
  const joined: string[] = [];
  const answered = new Map<string, string>();
  let resting = Promise.withResolvers<void>();
  resting.resolve();
  let idle = 0;
  let finishing = false;

  async function choose(chooser: number): Promise<void> {
    for (let count = 0; !finishing; count++) {
      idle++;
      await resting.promise;
      idle--;
      const slot = slots[(chooser + count) % slots.length] as string;
      const time = Math.random() < 0.5 ? "day" : "night";
      const id = `${load}-${chooser}-${count}`;
      const { decision_id, choice } = await untilAnswered<{ decision_id: string; choice: string }>(
        client,
        "policy:select",
        { slot, context: { time }, candidates: lamps },
        id,
      );
      answered.set(id, decision_id);
      const success = choice === (time === "day" ? "red" : "green");
      await untilAnswered(client, "policy:outcome", { decision_id, success });
      joined.push(decision_id);
    }
    idle++;
  }

  const working = Promise.all(Array.from({ length: choosers }, (_, chooser) => choose(chooser)));
  working.catch(() => {}); // reported by finish
  return {
    joined,
    answered,
    async rest() {
      resting = Promise.withResolvers();
      while (idle < choosers) await Promise.race([pause(5), working]);
    },
    goOn: () => resting.resolve(),
    async finish() {
      finishing = true;
      resting.resolve();
      await working;
    },
  };
}

/** Lets choosers work until something is reached. @param isReached gets how many outcomes were acknowledged */
export async function playUntil(
  client: NatsConnection,
  slots: readonly string[],
  isReached: (joined: number) => boolean | Promise<boolean>,
): Promise<void> {
  const load = startPolicyLoad(client, slots, 16);
  await until(async () => isReached(load.joined.length), "the load", 120_000);
  await load.finish();
}

/** Repeats the request with the same id until there is an answer. @throws Error when the answer says that repeating is no help */
async function untilAnswered<Reply>(client: NatsConnection, command: string, body: object, id?: string): Promise<Reply> {
  const head = headers();
  if (id !== undefined) head.set("ce-id", id);
  for (;;) {
    const reply = await client
      .request(command, JSON.stringify(body), { timeout: 1_000, headers: head })
      .then((message) => message.json<Reply & { error?: { code: string; retryable: boolean } }>())
      .catch(() => undefined);
    if (reply?.error?.retryable === false) throw new Error(`${command} was answered ${JSON.stringify(reply.error)}`);
    if (reply !== undefined && reply.error === undefined) return reply;
    await pause(20);
  }
}
