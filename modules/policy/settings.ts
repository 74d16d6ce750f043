/** The section `learning` of reprise.yaml. */
import { z } from "zod";
import { featureChoice } from "./features/choice.ts";
import { architecture } from "./neural/architecture.ts";
import { kinds, onlineKinds } from "./policies/kinds.ts";

const namesOf = (of: Readonly<Record<string, unknown>>) => z.enum(Object.keys(of) as [string, ...string[]]);

/** Kinds of policies that are trained for a slot, or followed in the shadow. */
export const learnNames = z.array(namesOf(kinds)).max(8);

export const settings = z.strictObject({
  baseline: namesOf(onlineKinds).default("thompson").describe("serves a new slot"),
  learn: learnNames.default(["linucb", "kto"]).describe("of a new slot; [] = only what serves it"),
  features: featureChoice.prefault({}).describe("of a new slot: how its contexts and candidates become numbers"),
  network: architecture.optional().describe("of a new slot: what its kto and reinforce are like; default: a perceptron of width 64"),
  embedding_patience: z.number().positive().max(10).default(1).describe("seconds that a selection waits for what its texts mean"),
});
export type Settings = z.output<typeof settings>;
