/** A logged choice whose true values are known: three kinds of task, four agents, success or not. */
import { draw, seededRandom } from "../../modules/policy/chance.ts";
import type { Judged } from "../../modules/policy/evaluation/off-policy.ts";
import { encode } from "../../modules/policy/features/encode.ts";
import { defaultSpec } from "../../modules/policy/features/spec.ts";

/** Odds of success, by kind of task and agent. */
const success = [
  [0.3, 0.5, 0.6, 0.2],
  [0.7, 0.4, 0.3, 0.5],
  [0.45, 0.5, 0.4, 0.55],
];
const candidates = [0, 1, 2, 3].map((index) => ({ id: `agent-${index}` }));
const least = 0.02;

/** Odds of each agent by kind of task: the greater the preference, the more often the better ones, or the worse if negative. */
export function preferring(preference: number): number[][] {
  return success.map((means) => {
    const weights = means.map((mean) => Math.exp(preference * mean));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight) => least + ((1 - least * means.length) * weight) / sum);
  });
}

/** Expected reward of a choice. */
export const expectedReward = (odds: readonly (readonly number[])[]): number =>
  odds.reduce((sum, row, kind) => sum + row.reduce((total, share, agent) => total + share * (success[kind]?.[agent] as number), 0), 0) /
  odds.length;

/** Choices by the serving policy, to be judged for another. */
export function logged(
  count: number,
  serving: readonly (readonly number[])[],
  judged: readonly (readonly number[])[],
  seed: number,
): Judged[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => {
    const kind = Math.floor(success.length * random());
    const odds = serving[kind] as readonly number[];
    const chosen = draw(odds, random());
    return {
      situation: encode(defaultSpec, { kind: `kind-${kind}` }, candidates),
      chosen,
      probability: odds[chosen] as number,
      reward: random() < (success[kind]?.[chosen] as number) ? 1 : 0,
      odds: judged[kind] as readonly number[],
      serving: odds,
    };
  });
}
