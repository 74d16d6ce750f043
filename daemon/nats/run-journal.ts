/**
 * Journals of runs: stream RUNS, one subject a run. Entry n is appended only when the subject's last message is entry n−1,
 * so two owners of a run cannot both write.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { CodedError } from "../errors.ts";
import type { Publisher } from "../events/publisher.ts";
import type { RunJournal } from "../module.ts";
import type { Seal } from "../seal.ts";
import { wrongLastSequence } from "./api-errors.ts";
import { readStored } from "./stored-messages.ts";
import type { Subjects } from "./subjects.ts";

/** What is read at once. */
const page = { count: 1_000, bytes: 4 * 1024 * 1024 };
const rememberedRuns = 10_000;

export interface RunJournalOptions {
  /** One that sends each entry by itself: a batch would be refused whole for one that is out of turn. */
  readonly publisher: Publisher;
  readonly manager: JetStreamManager;
  readonly subjects: Subjects;
  readonly seal: Seal;
}

export function openRunJournal({ publisher, manager, subjects, seal }: RunJournalOptions): RunJournal {
  /** Run → sequence of its last message and the number of its entries, for the runs written to last; others are read again. */
  const tails = new Map<string, { seq: number; length: number }>();
  const remember = (run: string, tail: { seq: number; length: number }) => {
    tails.delete(run);
    tails.set(run, tail);
    if (tails.size > rememberedRuns) tails.delete(tails.keys().next().value as string);
  };
  const placeOf = (run: string, index: number) => `${subjects.run(run)}#${index}`;

  async function* messages(run: string) {
    for (let seq = 1; ; ) {
      const stored = await readStored(manager, subjects.streams.runs, { seq, subject: subjects.run(run), ...page });
      yield* stored;
      const last = stored.at(-1);
      if (last === undefined || last.pending === 0) return;
      seq = last.seq + 1;
    }
  }

  /** Messages that are not sealed as the next entry are not ours. */
  async function read<Entry>(run: string): Promise<Entry[]> {
    const entries: Entry[] = [];
    let seq = 0;
    for await (const stored of messages(run)) {
      const entry = seal.open<Entry>(placeOf(run, entries.length), stored.string());
      if (entry !== undefined) entries.push(entry);
      seq = stored.seq;
    }
    remember(run, { seq, length: entries.length });
    return entries;
  }

  async function appendAt(run: string, index: number, entry: unknown): Promise<"appended" | "conflict"> {
    const tail = tails.get(run);
    if (tail === undefined || tail.length !== index) return "conflict";
    const expected = headers();
    expected.append("Nats-Expected-Last-Subject-Sequence", String(tail.seq));
    try {
      const payload = seal.close(placeOf(run, index), entry);
      const { seq } = await publisher.publish({ subject: subjects.run(run), headers: expected, payload });
      remember(run, { seq, length: index + 1 });
      return "appended";
    } catch (error) {
      if (error instanceof CodedError && error.details.server_code === wrongLastSequence) return "conflict";
      throw error;
    }
  }

  return {
    read,
    async append(run, index, entry) {
      if (index === 0) remember(run, { seq: 0, length: 0 });
      else if (!tails.has(run)) await read(run);
      if ((await appendAt(run, index, entry)) === "appended") return "appended";
      await read(run); // a message that is not ours may stand in the way; another owner's entry stays a conflict
      return appendAt(run, index, entry);
    },
    async delete(run) {
      await manager.streams.purge(subjects.streams.runs, { filter: subjects.run(run) });
      tails.delete(run);
    },
  };
}
