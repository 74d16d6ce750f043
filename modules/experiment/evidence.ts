/** What the logged outcomes of an experiment say, by the sequential test of `policy:compare`. */
import { z } from "zod";
import { CodedError } from "../../daemon/errors.ts";
import type { ModuleContext } from "../../daemon/module.ts";
import { comparison, type Evidence, type Experiment } from "./schema.ts";

/** Share of the odds that is spread evenly over the variants when they follow the rewards. */
export const exploration = 0.2;
export const undecided = "not enough data";
const alpha = 0.05;

/** Slot of the experiment's assignments. */
export const slotOf = ({ name }: Pick<Experiment, "name">): string => `experiment/${name}`;

const compared = comparison.omit({ left: true, right: true });
const statistics = z.object({
  slots: z.array(z.object({ candidates: z.array(z.object({ id: z.string(), outcomes: z.int(), mean_reward: z.number() })) })),
});

/** A winner is better than every other variant; the pairs share the risk of error (Bonferroni). */
export async function evidenceOf(experiment: Experiment, context: ModuleContext): Promise<Evidence> {
  const { variants, mode } = experiment;
  const slot = slotOf(experiment);
  const pairs = variants.flatMap((left, index) => variants.slice(index + 1).map((right) => ({ left, right })));
  const least_odds = (mode === "ab" ? 1 : exploration) / variants.length;
  const comparisons = await Promise.all(
    pairs.map(async (pair) => {
      const reply = context.call("policy:compare", { slot, ...pair, least_odds, alpha: alpha / pairs.length });
      return { ...pair, ...compared.parse(await reply.catch(unlessIncomparable)) };
    }),
  );
  const known = statistics.parse(await context.call("policy:stats", { slot })).slots[0]?.candidates ?? [];
  const beats = (one: string, other: string) =>
    comparisons.some(
      ({ left, right, verdict }) =>
        (verdict === "left" && left === one && right === other) || (verdict === "right" && right === one && left === other),
    );
  return {
    verdict: variants.find((one) => variants.every((other) => other === one || beats(one, other))) ?? undecided,
    variants: variants.map((variant) => {
      const { outcomes, mean_reward } = known.find(({ id }) => id === variant) ?? { outcomes: 0, mean_reward: 0 };
      return { variant, outcomes, mean_reward };
    }),
    comparisons,
  };
}

/** Where something was chosen with lower odds than were settled, nothing can be said: that of one experiment must not hide the others. */
function unlessIncomparable(error: unknown): z.input<typeof compared> {
  if (error instanceof CodedError && error.code === "REQUEST_INVALID") return { difference: 0, interval: [-2, 2], verdict: undecided };
  throw error;
}
