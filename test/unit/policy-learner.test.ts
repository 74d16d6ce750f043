import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CodedError, type ErrorCode } from "../../daemon/errors.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";
import { Learner } from "../../modules/policy/learner/learner.ts";
import type { OutcomeText } from "../../modules/policy/learner/messages.ts";

const job = { kind: "train", policy: "kto", options: { spec: defaultSpec, seed: 1 } } as const;
const coded = (code: ErrorCode) => (error: unknown) => error instanceof CodedError && error.code === code;

const outcomes = (count: number): OutcomeText[][] => [
  Array.from({ length: count }, (_, index) => {
    const good = index % 2;
    const selected = { context: {}, candidates: [{ id: "bad" }, { id: "good" }], choice: good ? "good" : "bad", probability: 0.5 };
    return { selected: JSON.stringify({ ...selected, policy: "uniform" }), reward: good, ordinal: index + 1, desirable: good as 0 | 1 };
  }),
];

/** Yields for ever, so that a job never ends by itself. */
function* endless(): Generator<readonly OutcomeText[]> {
  for (;;) yield [];
}

describe("a job of the learner", () => {
  it("ends when it takes too long, and the next one runs", async () => {
    await using learner = new Learner({ longest: 2 });
    await assert.rejects(learner.train(job, endless()), coded("REQUEST_TIMEOUT"));
    await assert.rejects(learner.train(job, []), coded("TRAINING_INSUFFICIENT"));
  });

  it("ends in the midst of a computation when nobody wants it any more; the others go on", async () => {
    await using learner = new Learner();
    const asked = new AbortController();
    const unwanted = learner.train(job, outcomes(2_000), asked.signal);
    const wanted = learner.train(job, outcomes(40));
    setTimeout(() => asked.abort(new Error("no longer wanted")), 300);
    await assert.rejects(unwanted, /no longer wanted/);
    const { outcomes: through, report } = await wanted;
    assert.deepEqual([through, report.updates], [32, 300]);
  });

  it("gives up its place in the queue as soon as nobody wants it any more", async () => {
    await using learner = new Learner({ mostAsked: 2 });
    const [first, asked, other] = [new AbortController(), new AbortController(), new AbortController()];
    const running = learner.train(job, endless(), first.signal);
    const unwanted = learner.train(job, [], asked.signal);
    asked.abort(new Error("no longer wanted"));
    await assert.rejects(unwanted, /no longer wanted/);
    const next = learner.train(job, [], other.signal);
    first.abort(new Error("enough"));
    await assert.rejects(running, /enough/);
    await assert.rejects(next, coded("TRAINING_INSUFFICIENT"));
  });

  it("is refused when too many are asked for, but what is due by itself waits for its turn", async () => {
    await using learner = new Learner({ mostAsked: 2 });
    const { signal } = new AbortController();
    const asked = [1, 2].map(() => learner.train(job, [], signal));
    await assert.rejects(learner.train(job, [], signal), coded("LEARNER_BUSY"));
    for (const each of [...asked, learner.train(job, [])]) await assert.rejects(each, coded("TRAINING_INSUFFICIENT"));
    await assert.rejects(learner.train(job, [], signal), coded("TRAINING_INSUFFICIENT"), "there is room again");
  });

  it("ends at once when the learner stops, and so do those that wait", async () => {
    const learner = new Learner();
    const all = [learner.train(job, endless()), learner.train(job, outcomes(40))];
    const settled = Promise.allSettled(all);
    setTimeout(() => void learner[Symbol.asyncDispose](), 100);
    for (const each of await settled) assert.ok(each.status === "rejected" && coded("SHUTTING_DOWN")(each.reason));
  });
});
