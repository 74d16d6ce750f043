/**
 * Work that takes seconds, beside the event loop: a worker thread that is started for the first job and ended when there was
 * none for a while. Jobs wait for each other. One that takes too long, or that nobody wants any more, ends with its thread.
 */
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { CodedError, type ErrorCode } from "../../../daemon/errors.ts";
import type { Evaluation } from "./evaluate-job.ts";
import type { EvaluateJob, FromWorker, Job, OutcomeText, ToWorker, TrainJob, TrainResult } from "./messages.ts";

/** Yields the outcomes that a job is about, a few at a time. */
export type Outcomes = Iterable<readonly OutcomeText[]>;

export interface LearnerOptions {
  /** Seconds that a job may take. */
  readonly longest?: number;
  /** Jobs that somebody waits for. */
  readonly mostAsked?: number;
}

const idleMilliseconds = 30_000;
/** Situations are encoded and forgotten one after another: with more room they are only forgotten later. */
const maxYoungGenerationSizeMb = 16;

export class Learner implements AsyncDisposable {
  readonly #longest: number;
  readonly #mostAsked: number;
  readonly #stop = new AbortController();
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #asked = 0;
  #idle: NodeJS.Timeout | undefined;

  constructor({ longest = 900, mostAsked = 16 }: LearnerOptions = {}) {
    this.#longest = longest;
    this.#mostAsked = mostAsked;
  }

  /**
   * @param asked of whoever waits for it: it ends the job, which is refused when too many are asked for. Without it the job waits
   * for its turn, however long that takes
   * @throws CodedError of the policy; LEARNER_BUSY; REQUEST_TIMEOUT, SHUTTING_DOWN; the reason of the signal
   */
  train(job: TrainJob, outcomes: Outcomes, asked?: AbortSignal): Promise<TrainResult> {
    return this.#enqueue(job, outcomes, asked) as Promise<TrainResult>;
  }

  /** As train(). */
  evaluate(job: EvaluateJob, outcomes: Outcomes, asked?: AbortSignal): Promise<Evaluation> {
    return this.#enqueue(job, outcomes, asked) as Promise<Evaluation>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new CodedError("SHUTTING_DOWN", "The learner stops."));
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  async #enqueue(job: Job, outcomes: Outcomes, asked?: AbortSignal): Promise<unknown> {
    if (asked && this.#asked >= this.#mostAsked) {
      throw new CodedError("LEARNER_BUSY", `${this.#asked} trainings and evaluations wait already; ask again later.`, {
        waiting: this.#asked,
      });
    }
    clearTimeout(this.#idle);
    this.#waiting++;
    if (asked) this.#asked++;
    const before = this.#last;
    const answer = turnOrAbort(before, asked)
      .then(() => this.#run(job, outcomes, asked))
      .finally(() => {
        if (asked) this.#asked--;
      });
    this.#last = Promise.allSettled([before, answer]).then(() => {
      if (--this.#waiting === 0 && !this.#stop.signal.aborted) this.#idle = setTimeout(() => this.#rest(), idleMilliseconds).unref();
    });
    return answer;
  }

  async #run(job: Job, outcomes: Outcomes, asked?: AbortSignal): Promise<unknown> {
    const limit = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, limit.signal, ...(asked ? [asked] : [])]);
    signal.throwIfAborted();
    const tooLong = new CodedError("REQUEST_TIMEOUT", `The learner was stopped: ${job.kind} took longer than ${this.#longest} s.`);
    const clock = setTimeout(() => limit.abort(tooLong), this.#longest * 1_000);
    const worker = this.#worker ?? this.#start();
    const post = (message: ToWorker) => worker.postMessage(message);
    const ended = new AbortController();
    // What it computes cannot be interrupted otherwise.
    const end = () => {
      if (this.#worker === worker) this.#worker = undefined;
      void worker.terminate();
    };
    signal.addEventListener("abort", end);
    try {
      const answer = Promise.race([
        once(worker, "message", { signal: ended.signal }) as Promise<[FromWorker]>,
        once(worker, "exit", { signal: ended.signal }).then(() => {
          signal.throwIfAborted();
          throw new Error("the learner's thread ended");
        }),
      ]);
      answer.catch(() => undefined); // awaited below, unless the outcomes cannot be read
      post({ type: "begin", job });
      for (const some of outcomes) {
        signal.throwIfAborted();
        post({ type: "outcomes", outcomes: some });
        await nextTurn();
      }
      post({ type: "run" });
      const [message] = await answer;
      if (message.type === "done") return message.result;
      if (message.code === undefined) throw new Error(message.message);
      throw new CodedError(message.code as ErrorCode, message.message, message.details);
    } finally {
      signal.removeEventListener("abort", end);
      clearTimeout(clock);
      ended.abort();
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { resourceLimits: { maxYoungGenerationSizeMb } });
    worker.unref();
    worker.on("error", () => undefined); // its exit tells
    worker.once("exit", () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    this.#worker = worker;
    return worker;
  }

  #rest(): void {
    void this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** Whoever goes away gives up the place in the queue at once. @throws the reason of the signal */
function turnOrAbort(turn: Promise<unknown>, asked: AbortSignal | undefined): Promise<unknown> {
  if (asked === undefined) return turn;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  if (asked.aborted) reject(asked.reason);
  else asked.addEventListener("abort", () => reject(asked.reason), { once: true });
  return Promise.race([turn, aborted]);
}
