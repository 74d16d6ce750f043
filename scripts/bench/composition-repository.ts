/** A repository of many patterns, and decisions tracked in it through the daemon. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { openRepository } from "../../daemon/git/repository.ts";
import { projectFolder } from "../../daemon/project.ts";
import { throughput } from "./measure.ts";

export const patternName = (number: number): string => `bench-${number}`;
const topics = ["files", "text", "review", "search", "planning", "images", "translation"];

/** Patterns of the size of the shipped ones, each added by a commit of its own. */
export async function addPatterns(folder: string, count: number): Promise<void> {
  const shipped = await readFile(join(projectFolder, "compositions", "orchestrations", "tournament_basic.yaml"), "utf8");
  await using repository = await openRepository(folder);
  for (let number = 0; number < count; number++) {
    const name = patternName(number);
    const topic = topics[number % topics.length] as string;
    const content = shipped
      .replace("name: tournament_basic", `name: ${name}`)
      .replace("tags: [tournament,", `tags: [${topic}, tournament,`)
      .replace("Finds the best", `Number ${number}, for ${topic}. Finds the best`);
    await repository.commit({ message: `composition(${name}): create 1.0.0`, files: { [`orchestrations/${name}.yaml`]: content } });
  }
}

/** Asks a command. @throws Error with the reply, if it is an error */
export async function ask<Reply>(client: NatsConnection, command: string, body: unknown): Promise<Reply> {
  const reply = await client.request(command, JSON.stringify(body), { timeout: 120_000 });
  if (reply.headers?.get("Nats-Service-Error-Code")) throw new Error(`${command}: ${reply.string()}`);
  return reply.json<Reply>();
}

/** Tracks decisions as a client, and watches them arrive in git. */
export class Decider implements Disposable {
  readonly #client: NatsConnection;
  readonly #acknowledged = new Map<string, number>();
  readonly #recorded = new Map<string, number>();
  readonly #stop: () => void;
  #wake = () => {};

  constructor(client: NatsConnection) {
    this.#client = client;
    const subscription = client.subscribe("event.composition.decision_recorded", {
      callback: (_, message) => {
        const now = performance.now();
        for (const { id } of message.json<{ decisions: { id: string }[] }>().decisions) this.#recorded.set(id, now);
        this.#wake();
      },
    });
    this.#stop = () => subscription.unsubscribe();
  }

  /** @returns decisions acknowledged per second, with 64 in flight */
  track(pattern: string, count: number): Promise<number> {
    let number = 0;
    return throughput(count, 64, async () => {
      const body = {
        pattern,
        decision: `the choice of step ${number++}`,
        context: { step: number, extension: "md", size_bucket: "under_8k" },
        options: ["gzip-6", "brotli-4", "zstd-9"],
        outcome: { saved_share: 0.61, milliseconds: 3.2 },
        confidence: 0.75,
        reason: "the best so far for such a file",
      };
      const { id } = await ask<{ id: string }>(this.#client, "composition:track_decision", body);
      this.#acknowledged.set(id, performance.now());
    });
  }

  /** Resolves when all that was acknowledged is in git. */
  async drained(): Promise<void> {
    while ([...this.#acknowledged.keys()].some((id) => !this.#recorded.has(id))) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Milliseconds from the acknowledgement to the commit, of each decision since the last call; negative: before it. */
  takeDelays(): number[] {
    const delays = [...this.#acknowledged].map(([id, at]) => (this.#recorded.get(id) ?? Number.NaN) - at);
    this.#acknowledged.clear();
    this.#recorded.clear();
    return delays;
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}
