/** What KTO learns from a log of choices, uniform or skewed, of which it is told only whether each turned out well. */
import { draw, seededRandom } from "../../../modules/policy/chance.ts";
import { encode } from "../../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../../modules/policy/features/spec.ts";
import { kto } from "../../../modules/policy/policies/kto.ts";
import type { Experience, Policy, Situation } from "../../../modules/policy/policies/policy.ts";
import type { Problem } from "../problem.ts";

const topics = ["numbers", "code", "text", "pictures"] as const;
const logged = 1_000;
/** Odds of success: each candidate is good at one topic. */
const success = (topic: number, candidate: number): number => (topic === candidate ? 0.8 : 0.4);

const situationOf = (topic: number): Situation =>
  encode(
    defaultSpec,
    { topic: topics[topic] },
    topics.map((name) => ({ id: `for-${name}` })),
  );

const best = 0.8;
const twoArms = encode(defaultSpec, {}, [{ id: "always good" }, { id: "always bad" }]);

async function learn(experiences: readonly Experience[], seed: number) {
  const trained = await kto.train?.(experiences, { spec: defaultSpec, seed });
  if (trained === undefined) throw new Error("kto is trained");
  return trained.policy;
}

/** Mean success of what a policy would choose. */
function rateOf(policy: Policy): number {
  const rates = topics.map((_, topic) =>
    policy.odds(situationOf(topic)).probabilities.reduce((sum, odds, candidate) => sum + odds * success(topic, candidate), 0),
  );
  return rates.reduce((sum, rate) => sum + rate, 0) / topics.length;
}

export const ktoFromLog: Problem = {
  name: "kto",
  description:
    "odds of the good one of two arms; success of 4 candidates in 4 contexts, from 1 000 uniform choices, and from 4 000 skewed ones",
  goals: [
    { measure: "odds_of_good_arm", atLeast: 0.99 },
    { measure: "share_of_optimum", atLeast: 0.9 },
    { measure: "share_of_optimum_skewed", atLeast: 0.9 },
  ],
  async run(seed) {
    const random = seededRandom(seed);
    const arms = Array.from({ length: 100 }, (_, index): Experience => {
      const chosen = index % 2;
      return { situation: twoArms, chosen, probability: 0.5, reward: 1 - chosen, desirable: chosen === 0 };
    });
    const choices = Array.from({ length: logged }, (): Experience => {
      const topic = Math.floor(random() * topics.length);
      const chosen = Math.floor(random() * topics.length);
      const desirable = random() < success(topic, chosen);
      return { situation: situationOf(topic), chosen, probability: 1 / topics.length, reward: desirable ? 1 : 0, desirable };
    });
    // Mostly the choices of a policy that prefers one candidate in each context, mostly not the best one.
    const odds = topics.map((_, topic) => topics.map((__, candidate) => (candidate === (topic < 2 ? topic : 0) ? 0.91 : 0.03)));
    const skewed = Array.from({ length: 4 * logged }, (): Experience => {
      const topic = Math.floor(random() * topics.length);
      const chosen = draw(odds[topic] as number[], random());
      // Contexts differ in how hard they are.
      const desirable = random() < success(topic, chosen) - 0.1 * topic;
      const probability = odds[topic]?.[chosen] as number;
      return { situation: situationOf(topic), chosen, probability, reward: desirable ? 1 : 0, desirable };
    });
    const onArms = await learn(arms, seed);
    const onTopics = await learn(choices, seed);
    const onSkewed = await learn(skewed, seed);
    return {
      odds_of_good_arm: onArms.odds(twoArms).probabilities[0] as number,
      share_of_optimum: rateOf(onTopics) / best,
      share_of_optimum_skewed: rateOf(onSkewed) / best,
      uniform: 0.5 / best,
    };
  },
};
