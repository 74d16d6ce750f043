/** Clients that change patterns as people and agents do, through faults: what was acknowledged is remembered and checked later. */
import { setTimeout as pause } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/transport-node";

/** A pattern whose description holds a number, so that a lost update shows. */
export const countingPattern = (name: string, count: number): string =>
  `# ${name}: kept by hand\nname: ${name}\ntype: orchestration\nversion: 1.0.0\ndescription: "${count}"\ntags: [counting]\norchestration_logic:\n  strategy: |\n    Count.\n    RETURN ${count}\n`;

export const countIn = (content: string): number => Number(/^description: "?(\d+)"?$/m.exec(content)?.[1]);

export interface Reply<Body> {
  readonly body?: Body;
  /** Code of the error; "no reply" when the outcome is unknown. */
  readonly code?: string;
}

/** Asks once; an error is a value, as a client that goes on has to see it. */
export async function tryAsk<Body>(client: NatsConnection, command: string, request: unknown, timeout = 5_000): Promise<Reply<Body>> {
  try {
    const reply = await client.request(command, JSON.stringify(request), { timeout });
    const body = reply.json<Body & { error?: { code: string } }>();
    return reply.headers?.get("Nats-Service-Error-Code") ? { code: body.error?.code ?? "" } : { body };
  } catch {
    return { code: "no reply" };
  }
}

interface Read {
  readonly content: string;
  readonly commit: string;
}

/**
 * Adds 1 to the pattern's number: reads, saves, and begins again when somebody else was faster.
 * @returns the commit of the save; undefined when its outcome is unknown
 */
export async function increment(client: NatsConnection, name: string, timeout?: number): Promise<string | undefined> {
  for (;;) {
    const { body: read } = await tryAsk<Read>(client, "composition:get", { name }, timeout);
    if (!read) return undefined;
    const count = countIn(read.content);
    const content = countingPattern(name, count + 1);
    const request = { name, content, based_on: read.commit };
    const { body, code } = await tryAsk<{ commit: string }>(client, "composition:save", request, timeout);
    if (body) return body.commit;
    if (code !== "COMPOSITION_STALE") return undefined;
  }
}

export interface Workers {
  /** Commits whose replies came. */
  readonly acknowledged: readonly string[];
  /** Lets each finish what it is at. */
  finish(): Promise<void>;
}

/** Repeats each piece of work until `finish`; one whose outcome is unknown is followed by the next. */
export function startWorkers(works: readonly ((round: number) => Promise<string | undefined>)[]): Workers {
  const acknowledged: string[] = [];
  let finishing = false;
  const working = Promise.all(
    works.map(async (work) => {
      for (let round = 0; !finishing; round++) {
        const done = await work(round);
        if (done === undefined) await pause(20);
        else acknowledged.push(done);
      }
    }),
  );
  working.catch(() => undefined); // reported by finish
  return {
    acknowledged,
    async finish() {
      finishing = true;
      await working;
    },
  };
}
