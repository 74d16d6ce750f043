/**
 * A task in up to four steps: whom to call next, or whether to answer. A specialist does its kind of task mostly, a generalist
 * any kind at times; whether the work is done is seen, each step costs, and a verifier accepts an answer only when it is.
 */
import { draw, seededRandom } from "../../../modules/policy/chance.ts";
import { encode } from "../../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../../modules/policy/features/spec.ts";
import type { Candidate, Experience, Policy, Situation } from "../../../modules/policy/policies/policy.ts";
import { reinforce } from "../../../modules/policy/policies/reinforce.ts";
import type { Problem } from "../problem.ts";

const kinds = ["calculation", "program", "letter"] as const;
type Kind = (typeof kinds)[number];

const steps = 4;
const cost = 0.05;
const episodes = 500;
/** Tasks after which it is trained anew, on all so far: at first those of chance. After fewer it may never see again what it gave up too early. */
const trainings = [250, episodes];
const answer = "answer";
const candidates: readonly Candidate[] = [
  { id: "mathematician", features: { tags: ["numbers"] } },
  { id: "programmer", features: { tags: ["code"] } },
  { id: "writer", features: { tags: ["text"] } },
  { id: "generalist", features: { tags: ["numbers", "code", "text"] } },
  { id: answer, features: { ends: true } },
];
const specialists: Readonly<Record<Kind, string>> = { calculation: "mathematician", program: "programmer", letter: "writer" };

interface State {
  readonly kind: Kind;
  readonly done: boolean;
  readonly step: number;
}

/** What may come of an action. */
interface Branch {
  readonly odds: number;
  readonly reward: number;
  /** Undefined where the task ends. */
  readonly next?: State;
}

function branches({ kind, done, step }: State, { id }: Candidate): Branch[] {
  if (id === answer) return [{ odds: 1, reward: (done ? 1 : 0) - cost }];
  const success = id === specialists[kind] ? 0.9 : id === "generalist" ? 0.4 : 0;
  const after = (nowDone: boolean) => (step + 1 === steps ? {} : { next: { kind, done: done || nowDone, step: step + 1 } });
  return [
    { odds: success, reward: -cost, ...after(true) },
    { odds: 1 - success, reward: -cost, ...after(false) },
  ];
}

/** Odds of each action, in a state where each is worth so much. */
type Behaviour = (state: State, worth: readonly number[]) => readonly number[];

/** Expected reward from a state on, exactly. */
function valueFrom(state: State, behave: Behaviour): number {
  const worth = candidates.map((candidate) =>
    sum(branches(state, candidate).map(({ odds, reward, next }) => odds * (reward + (next ? valueFrom(next, behave) : 0)))),
  );
  return sum(behave(state, worth).map((odds, index) => odds * (worth[index] as number)));
}

const startOf = (kind: Kind): State => ({ kind, done: false, step: 0 });
const meanValue = (behave: Behaviour) => sum(kinds.map((kind) => valueFrom(startOf(kind), behave))) / kinds.length;
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

const always = (index: number) => candidates.map((_, position) => (position === index ? 1 : 0));
const best: Behaviour = (_, worth) => always(worth.indexOf(Math.max(...worth)));
const bestFixed = () => Math.max(...candidates.map((_, index) => meanValue(() => always(index))));
const uniform: Behaviour = () => candidates.map(() => 1 / candidates.length);

const situationOf = ({ kind, done, step }: State): Situation => encode(defaultSpec, { kind, done, used: step / steps }, candidates);

function play(policy: Policy, id: string, random: () => number): Experience[] {
  const experiences: Experience[] = [];
  let state: State | undefined = startOf(kinds[Math.floor(random() * kinds.length)] as Kind);
  for (let step = 0; state !== undefined; step++) {
    const situation = situationOf(state);
    const { probabilities } = policy.odds(situation);
    const chosen = draw(probabilities, random());
    const possible = branches(state, candidates[chosen] as Candidate);
    const { reward, next } = possible[
      draw(
        possible.map(({ odds }) => odds),
        random(),
      )
    ] as Branch;
    const probability = probabilities[chosen] as number;
    experiences.push({ situation, chosen, probability, reward, episode: { id, step, last: next === undefined } });
    state = next;
  }
  return experiences;
}

/** @param after how many tasks it is trained anew, on all so far: the last are all */
async function learn(seed: number, after: readonly number[]): Promise<Policy> {
  const options = { spec: defaultSpec, seed };
  const random = seededRandom(seed);
  const played: Experience[] = [];
  let policy = reinforce.create(options);
  let tasks = 0;
  for (const training of after) {
    for (; tasks < training; tasks++) played.push(...play(policy, `${tasks}`, random));
    const trained = await reinforce.train?.(played, options);
    if (trained === undefined) throw new Error("reinforce is trained");
    policy = trained.policy;
  }
  return policy;
}

export const sequential: Problem = {
  name: "sequential",
  description: `reward per task of up to ${steps} steps after ${episodes} tasks: of its own, trained ${trainings.length} times, and of uniform's, once`,
  goals: [
    { measure: "share_of_optimum", atLeast: 0.95 },
    { measure: "share_of_optimum_from_log", atLeast: 0.95 },
  ],
  seeds: 20,
  async run(seed) {
    const optimum = meanValue(best);
    const shareOf = (policy: Policy) => meanValue((state) => policy.odds(situationOf(state)).probabilities) / optimum;
    return {
      share_of_optimum: shareOf(await learn(seed, trainings)),
      // What has learned nothing is uniform.
      share_of_optimum_from_log: shareOf(await learn(seed, [episodes])),
      full_information: optimum,
      best_fixed: bestFixed(),
      uniform: meanValue(uniform),
    };
  },
};
