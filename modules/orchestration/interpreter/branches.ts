/** Branches that run side by side: PARALLEL waits for all, RACE for the first. */
import type { Statement } from "../language/ast.ts";
import { isFinal } from "./control.ts";
import { wholeNumber } from "./fit.ts";
import { during, openListeners } from "./listeners.ts";
import type { Completion, Family, Place, Strand } from "./place.ts";
import type { Thread } from "./steps.ts";

const parallelBranches = 8;

export const branches: Family<"parallel" | "race"> = {
  async parallel({ body, maximum }, at) {
    const most = (maximum && wholeNumber(await at.value(maximum), "MAX", at.line)) ?? parallelBranches;
    return during(at, "block", (thread) => playAll(body, most, thread, at));
  },
  race: ({ body }, at) => during(at, "block", (thread) => playFirst(body, thread, at)),
};

/** Each statement is a branch; the first error, in their order, is that of the whole, after all have come to rest. */
async function playAll(body: readonly Statement[], most: number, thread: Thread, at: Place): Promise<Completion> {
  const { scope } = at.strand;
  const threadOf = at.run.steps.fork(thread);
  const strands = body.map((_, index) => ({ ...at.strand, ...openStrand(), scope: scope.fork(), thread: threadOf(index) }));
  const completions: PromiseSettledResult<Completion>[] = [];
  let next = 0;
  const work = async () => {
    while (next < body.length) {
      const index = next++;
      const branch = at.run.one(body[index] as Statement, strands[index] as Strand);
      [completions[index]] = (await Promise.allSettled([branch])) as [PromiseSettledResult<Completion>];
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(most, body.length)) }, work));
  for (const completion of completions) if (completion.status === "rejected") throw completion.reason;
  scope.join(strands.map((strand) => strand.scope));
  for (const strand of strands) joinPhases(at.strand, strand);
  return completions.map((completion) => (completion as PromiseFulfilledResult<Completion>).value).find((value) => value !== undefined);
}

/** The branch that reaches its end first wins, and it alone leaves a trace; a branch that fails does not win. */
async function playFirst(body: readonly Statement[], thread: Thread, at: Place): Promise<Completion> {
  const { journal } = at.run.options;
  const threadOf = at.run.steps.fork(thread);
  const note = `${thread.prefix}${thread.count}!winner`;
  const racers = body.map((statement, index) => {
    const stop = new AbortController();
    const scope = at.strand.scope.fork();
    const received = new Map([...at.strand.received].map(([one, positions]) => [one, new Set(positions)]));
    const branch = threadOf(index, AbortSignal.any([thread.signal, stop.signal]));
    return { statement, index, stop, strand: { ...at.strand, ...openStrand(), scope, received, thread: branch } };
  });
  type Racer = (typeof racers)[number];

  function win({ strand }: Racer): void {
    at.strand.scope.join([strand.scope]);
    joinPhases(at.strand, strand);
    for (const [statement, positions] of strand.received) at.strand.received.set(statement, positions);
  }

  const earlier = journal.resultOf(note)?.value as number | undefined;
  if (earlier !== undefined) {
    const winner = racers[earlier] as Racer;
    const completion = await at.run.one(winner.statement, winner.strand);
    win(winner);
    return completion;
  }
  if (racers.length === 0) return undefined;

  const { promise: ended, reject: end } = Promise.withResolvers<never>();
  const errors: unknown[] = [];
  const runs = racers.map(async (racer) => {
    try {
      return { racer, completion: await at.run.one(racer.statement, racer.strand) };
    } catch (error) {
      if (isFinal(error)) end(error);
      errors[racer.index] = error;
      throw error;
    }
  });
  try {
    const { racer, completion } = await Promise.race([Promise.any(runs), ended]);
    journal.result({ step: note, line: at.line, value: racer.index, milliseconds: 0 });
    // Durable before the others stop: a step of theirs that is cut short must not be looked at again.
    await journal.flush();
    win(racer);
    return completion;
  } catch (error) {
    throw error instanceof AggregateError ? errors.find((one) => one !== undefined) : error;
  } finally {
    for (const { stop } of racers) stop.abort(new Error("another branch of the RACE was faster"));
    await Promise.allSettled(runs);
  }
}

const openStrand = () => ({ listeners: openListeners() });

function joinPhases({ listeners: { begun, ended } }: Strand, { listeners: branch }: Strand): void {
  for (const phase of branch.begun) begun.add(phase);
  for (const phase of branch.ended) ended.add(phase);
}
