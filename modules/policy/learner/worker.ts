/** The learner's thread: trains and evaluates policies, one job at a time. TensorFlow is loaded by the first that needs it. */
import { parentPort } from "node:worker_threads";
import { CodedError } from "../../../daemon/errors.ts";
import { evaluateJob } from "./evaluate-job.ts";
import { experienceOf, type Logged, withEnds } from "./experience.ts";
import type { FromWorker, Job, ToWorker } from "./messages.ts";
import { trainJob } from "./train-job.ts";

let job: Job | undefined;
let logged: Logged[] = [];

parentPort?.on("message", (message: ToWorker) => {
  switch (message.type) {
    case "begin":
      job = message.job;
      logged = [];
      break;
    case "outcomes": {
      const spec = job?.options.spec;
      if (spec) for (const outcome of message.outcomes) logged.push(experienceOf(spec, outcome));
      break;
    }
    case "run":
      if (job) void run(job, withEnds(logged));
      logged = [];
  }
});

async function run(work: Job, outcomes: readonly Logged[]): Promise<void> {
  try {
    const result = work.kind === "train" ? await trainJob(work, outcomes) : evaluateJob(work, outcomes);
    answer({ type: "done", result });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    answer({ type: "failed", message, ...(error instanceof CodedError && { code: error.code, details: error.details }) });
  }
}

const answer = (message: FromWorker) => parentPort?.postMessage(message);
