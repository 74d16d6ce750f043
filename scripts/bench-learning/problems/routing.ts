/** Which of two language models to ask, learned from the chosen one's answers alone: 14 042 prompts of MMLU (RouteLLM). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { projectFolder } from "../../../daemon/project.ts";
import { draw, seededRandom, shuffled } from "../../../modules/policy/chance.ts";
import { encode } from "../../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../../modules/policy/features/spec.ts";
import type { Policy } from "../../../modules/policy/policies/policy.ts";
import { thompson } from "../../../modules/policy/policies/thompson.ts";
import { uniform } from "../../../modules/policy/policies/uniform.ts";
import { type Measures, type Problem, Unavailable } from "../problem.ts";

const file = join(projectFolder, "..", "shared", "data", "model-routing.csv.gz");
const training = 10_000;
const early = 2_000;
/** Cost of the strong model's answer, in correct answers: what it is better on average. */
const price = 0.125;
const candidates = [{ id: "weak" }, { id: "strong" }];

interface Prompt {
  readonly context: { readonly subject: string; readonly prompt: string };
  /** Whether the weak and the strong model are right: 0 or 1. */
  readonly right: readonly [number, number];
}

/** Quoted fields may hold commas, doubled quotes and line breaks. */
function readPrompts(): Prompt[] {
  let text: string;
  try {
    text = gunzipSync(readFileSync(file)).toString("utf8");
  } catch (error) {
    throw new Unavailable(`the data ${file} cannot be read (${(error as Error).message})`);
  }
  const fields = [...text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "",
  );
  const columns = 5;
  return Array.from({ length: Math.floor(fields.length / columns) - 1 }, (_, row) => {
    const [, subject = "", prompt = "", weak, strong] = fields.slice((row + 1) * columns, (row + 2) * columns);
    return { context: { subject, prompt }, right: [Number(weak), Number(strong)] };
  });
}

let prompts: readonly Prompt[] | undefined;

const situationOf = ({ context }: Prompt) => encode(defaultSpec, context, candidates);

/** Plays the prompts once in order. @param everything both models' answers are seen, not only the chosen one's */
function learnFrom(policy: Policy, asked: readonly Prompt[], cost: number, seed: number, everything = false): number {
  const random = seededRandom(seed);
  let earned = 0;
  for (const prompt of asked) {
    const situation = situationOf(prompt);
    const { probabilities } = policy.odds(situation);
    const drawn = draw(probabilities, random());
    const rewardOf = (model: number) => (prompt.right[model] as number) - (model === 1 ? cost : 0);
    earned += rewardOf(drawn);
    for (const chosen of everything ? [0, 1] : [drawn]) {
      policy.observe?.({ situation, chosen, probability: probabilities[chosen] as number, reward: rewardOf(chosen) });
    }
  }
  return earned / asked.length;
}

/** Gain of sending the best-scored share to the strong model, at each of `count` + 1 shares from 0 to 1: 0 for none, 1 for all. */
function recovered(policy: Policy, test: readonly Prompt[]): number[] {
  const scored = test.map((prompt) => {
    const { scores } = policy.odds(situationOf(prompt));
    return { score: (scores[1] as number) - (scores[0] as number), gain: prompt.right[1] - prompt.right[0] };
  });
  scored.sort((left, right) => right.score - left.score);
  const curve = [0];
  for (const { gain } of scored) curve.push((curve.at(-1) as number) + gain);
  const whole = curve.at(-1) as number;
  return curve.map((value) => value / whole);
}

/** Average performance gap recovered, RouteLLM (arXiv 2406.18665): the area under the curve. */
const apgr = (curve: readonly number[]): number => (curve.reduce((sum, value) => sum + value, 0) - 0.5) / (curve.length - 1);

/** How far the curve is above the straight line at the share where it is least so, of the shares 0.5 %, 1 %, … 99.5 %. */
function leastAboveLine(curve: readonly number[]): number {
  const shares = Array.from({ length: 199 }, (_, step) => (step + 1) / 200);
  return Math.min(...shares.map((share) => (curve[Math.round(share * (curve.length - 1))] as number) - share));
}

function run(seed: number, cost: number): Measures {
  prompts ??= readPrompts();
  const order = shuffled(prompts, seededRandom(seed));
  const [asked, test] = [order.slice(0, training), order.slice(training)];
  const options = { spec: defaultSpec, seed };
  const policy = thompson.create(options);
  const first = learnFrom(policy, asked.slice(0, early), cost, seed);
  const soon = apgr(recovered(policy, test));
  const second = learnFrom(policy, asked.slice(early), cost, seed + 1);
  const curve = recovered(policy, test);
  const informed = thompson.create(options);
  learnFrom(informed, asked, cost, seed, true);
  const fixed = [0, 1].map(
    (model) => asked.reduce((sum, { right }) => sum + (right[model] as number) - (model === 1 ? cost : 0), 0) / training,
  );
  return {
    APGR_after_2000: soon,
    APGR_after_10000: apgr(curve),
    APGR_of_uniform: apgr(recovered(uniform.create(options), test)),
    APGR_with_full_information: apgr(recovered(informed, test)),
    least_height_of_the_curve_above_the_line: leastAboveLine(curve),
    reward_while_learning: (early * first + (training - early) * second) / training,
    reward_of_best_fixed: Math.max(...fixed),
    reward_of_uniform: (fixed[0] as number) / 2 + (fixed[1] as number) / 2,
  };
}

const goals = [
  { measure: "APGR_after_2000", atLeast: 0.6 },
  { measure: "APGR_after_10000", atLeast: 0.64 },
  { measure: "least_height_of_the_curve_above_the_line", atLeast: 0 },
];

export const routing: Problem = {
  name: "routing",
  description: "one of two models for each of 10 000 prompts, rewarded if right; random has APGR 0.5",
  goals,
  run: (seed) => run(seed, 0),
};

export const routingWithCost: Problem = {
  name: "routing-with-cost",
  description: `the same, where the strong model costs ${price} right answers`,
  goals,
  run: (seed) => run(seed, price),
};
