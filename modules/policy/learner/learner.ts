/**
 * Work that takes seconds, beside the event loop: a worker thread that is started for the first job and ended when there was
 * none for a while. Jobs wait for each other.
 */
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { CodedError, type ErrorCode } from "../../../daemon/errors.ts";
import type { Evaluation } from "./evaluate-job.ts";
import type { EvaluateJob, FromWorker, Job, OutcomeText, ToWorker, TrainJob, TrainResult } from "./messages.ts";

/** Yields the outcomes that a job is about, a few at a time. */
export type Outcomes = Iterable<readonly OutcomeText[]>;

const idleMilliseconds = 30_000;

export class Learner implements AsyncDisposable {
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #idle: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @throws CodedError of the policy, or Error when the worker ends */
  train(job: TrainJob, outcomes: Outcomes): Promise<TrainResult> {
    return this.#enqueue(job, outcomes) as Promise<TrainResult>;
  }

  evaluate(job: EvaluateJob, outcomes: Outcomes): Promise<Evaluation> {
    return this.#enqueue(job, outcomes) as Promise<Evaluation>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  #enqueue(job: Job, outcomes: Outcomes): Promise<unknown> {
    clearTimeout(this.#idle);
    this.#waiting++;
    const answer = this.#last.then(() => this.#run(job, outcomes));
    this.#last = answer
      .catch(() => undefined)
      .finally(() => {
        if (--this.#waiting === 0 && !this.#stopped) this.#idle = setTimeout(() => this.#rest(), idleMilliseconds).unref();
      });
    return answer;
  }

  async #run(job: Job, outcomes: Outcomes): Promise<unknown> {
    if (this.#stopped) throw new CodedError("SHUTTING_DOWN", "The learner stops.");
    const worker = this.#worker ?? this.#start();
    const post = (message: ToWorker) => worker.postMessage(message);
    const ended = new AbortController();
    try {
      const answer = Promise.race([
        once(worker, "message", { signal: ended.signal }) as Promise<[FromWorker]>,
        once(worker, "exit", { signal: ended.signal }).then(() =>
          Promise.reject(new CodedError("SHUTTING_DOWN", "The learner's worker ended.")),
        ),
      ]);
      answer.catch(() => undefined); // awaited below, unless the outcomes cannot be read
      post({ type: "begin", job });
      for (const some of outcomes) {
        post({ type: "outcomes", outcomes: some });
        await nextTurn();
      }
      post({ type: "run" });
      const [message] = await answer;
      if (message.type === "done") return message.result;
      if (message.code === undefined) throw new Error(message.message);
      throw new CodedError(message.code as ErrorCode, message.message, message.details);
    } finally {
      ended.abort();
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url));
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
